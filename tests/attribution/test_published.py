"""Published attribution figures, and a file in which no channel has an effect."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from scipy.stats import chi2_contingency

from attribution.paths.descriptive import descriptive, descriptive_from_transitions
from attribution.paths.markov import fit_markov
from attribution.paths.transitions import read_transitions

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
PUBLISHED = SHARED / "attribution_published"
SCRAMBLED = SHARED / "attribution_scrambled" / "events_scrambled_ids.parquet"
needs = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the public data in ../shared/data")


@needs
def test_removal_effects_and_credit_match_the_published_social_journeys() -> None:
    """240,108 cookies, 17,639 conversions, order 1, unique channels (DATASETS.md, attribution_published)."""
    expected = json.loads((PUBLISHED / "expected_results.json").read_text())
    table = pl.read_parquet(PUBLISHED / "transition_counts.parquet").rename({"n_transitions": "n"})
    fit = fit_markov(read_transitions(table))
    effects = dict(zip(fit.channels, fit.removal_effects, strict=True))
    assert effects == pytest.approx(expected["removal_effects"], rel=1e-9)
    assert fit.conversion_rate == pytest.approx(expected["base_conversion_rate"], rel=1e-9)
    groups = {"Facebook": "social", "Instagram": "social"}
    credits = descriptive_from_transitions(table, methods=["markov"], groups=groups).credits
    found = credits.by_channel(outcome="conversion", method="markov")
    assert found == pytest.approx(expected["markov_attributed_conversions"], rel=1e-9)
    social = credits.by_channel(outcome="conversion", method="markov", level="group")["social"]
    assert social == pytest.approx(4_948.892177847522 + 3_031.5215485558924, rel=1e-9)


@needs
def test_the_most_walked_published_paths_work_as_a_table_of_paths() -> None:
    top = pl.read_csv(PUBLISHED / "top_paths.csv", schema_overrides={"n_null": pl.Float64})
    paths = top.select(
        path="path_unique_channels", conversions="n_conversion", nulls=pl.col("n_null").fill_null(0)
    )
    credits = descriptive(paths, methods=["last", "markov"], outcome="conversion", groups={}).credits
    total = float(top["n_conversion"].sum())
    assert credits.by_channel(outcome="conversion", method="last", level="total") == {"(total)": total}
    last = credits.by_channel(outcome="conversion", method="last")
    ends = top.group_by(pl.col("path_unique_channels").str.split(" > ").list.last()).agg(
        pl.col("n_conversion").sum()
    )
    assert last == pytest.approx(dict(ends.iter_rows()))


@needs
def test_events_dealt_at_random_convert_alike_after_every_channel_and_are_credited_all_the_same() -> None:
    """Ids were dealt at random, so no channel has an effect; credit is handed out in full anyway."""
    events = pl.read_parquet(SCRAMBLED).sort("customer_id", "event_ts")
    done = pl.col("conversion").cum_max().shift(1, fill_value=0).over("customer_id")
    paths = (
        events.filter(done == 0)
        .group_by("customer_id", maintain_order=True)
        .agg(path="channel", conversions=pl.col("conversion").max().cast(pl.Int64))
        .with_columns(nulls=1 - pl.col("conversions"))
    )
    made = descriptive(paths, methods=["last", "markov"], outcome="conversion", groups={})
    steps = made.transitions.group_by("from_state").agg(
        converted=pl.col("n").filter(pl.col("to_state") == "(conversion)").sum(), left=pl.col("n").sum()
    )
    of_channels = steps.filter(pl.col("from_state") != "(start)")
    converted, left = of_channels["converted"].to_numpy(), of_channels["left"].to_numpy()
    assert chi2_contingency([converted, left - converted]).pvalue > 0.05
    for method in ("last", "markov"):
        handed_out = made.credits.by_channel(outcome="conversion", method=method)
        assert sum(handed_out.values()) == pytest.approx(converted.sum())
        assert min(handed_out.values()) > 0
