"""The same journeys through other attribution packages."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from attribution.paths.descriptive import descriptive
from attribution.paths.encoded import encode_paths
from attribution.paths.markov import fit_markov
from attribution.paths.transitions import count_transitions

pytestmark = pytest.mark.peer

CHANNELS = ["facebook", "twitter", "forum", "chat", "mail", "phone"]
SIMULATION_NOISE = 0.15
"""ChannelAttribution simulates its chain: removal effects are off by several per cent at default settings."""


def journeys(n: int = 4_000) -> pl.DataFrame:
    """Journeys without two touches of one channel in a row, so that no package can drop a self-loop."""
    rng = np.random.default_rng(11)
    share = np.array([0.3, 0.2, 0.15, 0.15, 0.1, 0.1])
    paths = []
    for _ in range(n):
        path = [int(rng.choice(6, p=share))]
        while rng.random() < 0.6:
            following = int(rng.choice(6, p=share))
            if following != path[-1]:
                path.append(following)
        paths.append(" > ".join(CHANNELS[i] for i in path))
    won = rng.random(n) < np.array([0.05 + 0.1 * ("forum" in path) for path in paths])
    value = np.where(won, rng.gamma(2.0, 20.0, n).round(2), 0.0)
    return (
        pl.DataFrame(
            {"path": paths, "conversions": won.astype(int), "nulls": (~won).astype(int), "value": value}
        )
        .group_by("path")
        .agg(pl.all().sum())
        .sort("path")
    )


@pytest.mark.parametrize(
    ("method", "column"), [("first", "first_touch"), ("last", "last_touch"), ("linear", "linear_touch")]
)
def test_rules_equal_channelattribution(method: str, column: str) -> None:
    peer = pytest.importorskip("ChannelAttribution")
    frame = journeys()
    result = peer.heuristic_models(frame.to_pandas(), "path", "conversions", var_value="value", flg_pro=False)
    for outcome, suffix in (("conversion", "conversions"), ("spend", "value")):
        expected = dict(zip(result["channel_name"], result[f"{column}_{suffix}"], strict=True))
        found = descriptive(frame, methods=[method], outcome=outcome, groups={}).credits
        assert found.by_channel(outcome=outcome, method=method) == pytest.approx(expected)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_chains_agree_with_channelattribution_within_its_simulation(order: int) -> None:
    peer = pytest.importorskip("ChannelAttribution")
    frame = journeys()
    result = peer.markov_model(
        frame.to_pandas(),
        "path",
        "conversions",
        var_value="value",
        var_null="nulls",
        order=order,
        out_more=True,
        verbose=False,
        flg_pro=False,
    )
    fit = fit_markov(count_transitions(encode_paths(frame), order=order))
    peers = result["removal_effects"].set_index("channel_name")
    for ours, column in (
        (fit.removal_effects, "removal_effects_conversion"),
        (fit.value_removal_effects, "removal_effects_conversion_value"),
    ):
        expected = peers[column].to_dict()
        found = dict(zip(fit.channels, ours, strict=True))
        assert found == pytest.approx(expected, rel=SIMULATION_NOISE)


def marketing_attribution_models(frame: pl.DataFrame) -> Any:
    peer = pytest.importorskip("mam")
    parts = [(frame["conversions"], True), (frame["nulls"], False)]
    walked = pl.concat(pl.DataFrame({"path": frame["path"], "times": n, "won": won}) for n, won in parts)
    return peer.MAM(
        walked.filter(pl.col("times") > 0),
        format_type="grouped_journey",
        channels_colname="path",
        journey_with_conv_colname="won",
        occurrences_colname="times",
    )


@pytest.mark.parametrize(
    ("method", "run"),
    [
        ("first", "run_first_click"),
        ("last", "run_last_click"),
        ("linear", "run_linear"),
        ("position", "run_position_based"),
    ],
)
def test_rules_equal_marketing_attribution_models(method: str, run: str) -> None:
    frame = journeys()
    result = getattr(marketing_attribution_models(frame), run)().to_polars()
    expected = dict(result.select(pl.col("channels").cast(pl.String), "attribution").iter_rows())
    found = descriptive(frame, methods=[method], outcome="conversion", groups={}).credits
    assert found.by_channel(outcome="conversion", method=method) == pytest.approx(expected, rel=1e-9)


def test_removal_effects_equal_marketing_attribution_models() -> None:
    """Its removal effects are exact; its credit shares them out anew within each journey, ours does not."""
    frame = journeys()
    result = marketing_attribution_models(frame).run_markov(transition_to_same_state=True)
    expected = result.metadata["removal_effect"]["removal_effect"].to_dict()
    fit = fit_markov(count_transitions(encode_paths(frame)))
    assert dict(zip(fit.channels, fit.removal_effects, strict=True)) == pytest.approx(expected, rel=1e-9)
