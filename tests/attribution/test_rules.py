"""Rules: tables of small journeys, a plain second computation, and what every rule keeps."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attribution.paths.encoded import encode_paths
from attribution.paths.rules import (
    RULES,
    RuleSettings,
    path_touches,
    touch_credits,
    touch_weight,
)
from histories.errors import ConfigError

Path = list[str]
Plain = Callable[[Path, list[float]], list[float]]

paths = st.lists(st.sampled_from(["a", "b", "c", "direct"]), min_size=1, max_size=7)


def one_hot(index: int, n: int) -> list[float]:
    return [float(i == index) for i in range(n)]


def last_non_direct(path: Path, hours: list[float]) -> list[float]:
    others = [i for i, channel in enumerate(path) if channel != "direct"]
    return one_hot(others[-1] if others else len(path) - 1, len(path))


def time_decay(path: Path, hours: list[float]) -> list[float]:
    raw = [0.5 ** (hour / (7 * 24)) for hour in hours]
    return [value / sum(raw) for value in raw]


def position(path: Path, hours: list[float]) -> list[float]:
    n = len(path)
    if n <= 2:
        return [1 / n] * n
    return [0.4, *[0.2 / (n - 2)] * (n - 2), 0.4]


PLAIN: dict[str, Plain] = {
    "first": lambda path, hours: one_hot(0, len(path)),
    "last": lambda path, hours: one_hot(len(path) - 1, len(path)),
    "last_non_direct": last_non_direct,
    "linear": lambda path, hours: [1 / len(path)] * len(path),
    "time_decay": time_decay,
    "position": position,
    "shapley": lambda path, hours: [1 / (len(set(path)) * path.count(channel)) for channel in path],
}


def touches_of(journeys: list[Path], hours: list[list[float]]) -> pl.DataFrame:
    rows = [
        (j, 10 * j, p, len(path), channel, hours[j][p], j % 3 != 2, float(j + 1))
        for j, path in enumerate(journeys)
        for p, channel in enumerate(path)
    ]
    names = ["customer_id", "journey_id", "position", "n_touches", "channel", "hours_before"]
    return pl.DataFrame(rows, schema=[*names, "converted", "value"], orient="row")


@pytest.mark.parametrize(
    ("rule", "path", "weights"),
    [
        ("first", "a > b > c", [1, 0, 0]),
        ("last", "a > b > c", [0, 0, 1]),
        ("last", "a", [1]),
        ("last_non_direct", "a > b > direct > direct", [0, 1, 0, 0]),
        ("last_non_direct", "direct > direct", [0, 1]),
        ("linear", "a > a > b > c", [0.25, 0.25, 0.25, 0.25]),
        ("position", "a", [1]),
        ("position", "a > b", [0.5, 0.5]),
        ("position", "a > b > c", [0.4, 0.2, 0.4]),
        ("position", "a > b > c > a", [0.4, 0.1, 0.1, 0.4]),
        ("shapley", "a > b > a", [0.25, 0.5, 0.25]),
    ],
)
def test_weights_of_small_journeys(rule: str, path: str, weights: list[float]) -> None:
    encoded = encode_paths(pl.DataFrame({"path": [path], "conversions": [1]}))
    found = path_touches(encoded).select(touch_weight(rule, keys=["path"])).to_series()
    assert found.to_list() == pytest.approx(weights)


def test_a_touch_one_half_life_earlier_counts_half() -> None:
    touches = touches_of([["a", "b"]], [[24.0 * 10, 24.0 * 3]])
    weights = touches.select(touch_weight("time_decay")).to_series()
    assert weights.to_list() == pytest.approx([1 / 3, 2 / 3])
    short = touches.select(touch_weight("time_decay", settings=RuleSettings(half_life_days=3.5)))
    assert short.to_series().to_list() == pytest.approx([1 / 5, 4 / 5])


def test_time_decay_survives_touches_of_long_ago() -> None:
    touches = touches_of([["a", "b"]], [[24.0 * 365 * 40, 24.0 * 365 * 40 - 168]])
    assert touches.select(touch_weight("time_decay")).to_series().to_list() == pytest.approx([1 / 3, 2 / 3])


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(journeys=st.lists(paths, min_size=1, max_size=8), data=st.data())
def test_every_rule_equals_its_plain_computation(
    rule: str, journeys: list[Path], data: st.DataObject
) -> None:
    hour = st.floats(0, 24 * 30)
    hours = [
        sorted(data.draw(st.lists(hour, min_size=len(path), max_size=len(path))), reverse=True)
        for path in journeys
    ]
    touches = touches_of(journeys, hours).sample(fraction=1.0, shuffle=True, seed=1)
    found = touches.with_columns(touch_weight(rule)).sort("customer_id", "position")
    expected = [w for path, h in zip(journeys, hours, strict=True) for w in PLAIN[rule](path, h)]
    assert found["weight"].to_list() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(journeys=st.lists(paths, min_size=1, max_size=12), cut=st.integers(0, 12))
def test_credit_is_conserved_and_adds_over_partitions_of_customers(
    rule: str, journeys: list[Path], cut: int
) -> None:
    hours = [[float(len(path) - p) for p in range(len(path))] for path in journeys]
    touches = touches_of(journeys, hours).with_columns(converted=pl.lit(True))

    def credit(part: pl.DataFrame) -> pl.DataFrame:
        earned = pl.col("conversion_credit", "spend_credit").sum()
        return touch_credits(part.lazy(), rule=rule).group_by("channel").agg(earned).sort("channel").collect()

    whole = credit(touches)
    assert whole["conversion_credit"].sum() == pytest.approx(len(journeys))
    assert whole["spend_credit"].sum() == pytest.approx(sum(range(1, len(journeys) + 1)))
    halves = [credit(touches.filter(pl.col("customer_id") < cut)), credit(touches.filter(customer_id=cut))]
    halves.append(credit(touches.filter(pl.col("customer_id") > cut)))
    merged = pl.concat(halves).group_by("channel").agg(pl.col("spend_credit").sum()).sort("channel")
    assert merged["channel"].equals(whole["channel"])
    assert merged["spend_credit"].to_list() == pytest.approx(whole["spend_credit"].to_list())


def test_touches_of_journeys_without_the_outcome_earn_nothing() -> None:
    touches = touches_of([["a"], ["a", "b"], ["b"]], [[1.0], [2.0, 1.0], [1.0]])
    earned = touch_credits(touches.lazy(), rule="linear").collect()
    assert earned["conversion_credit"].to_list() == [1.0, 0.5, 0.5, 0.0]
    assert earned["spend_credit"].to_list() == [1.0, 1.0, 1.0, 0.0]


def test_a_rule_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match='did you mean "linear"'):
        touch_weight("lineal")
