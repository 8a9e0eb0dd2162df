"""Descriptive credit from journeys to the tables of a bundle."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pytest

from attribution.credits.schemas import (
    CREDITS_SCHEMA,
    CUSTOMER_CREDITS_SCHEMA,
    PATHS_SCHEMA,
    REMOVAL_EFFECTS_SCHEMA,
    TRANSITIONS_SCHEMA,
)
from attribution.credits.table import compare_credits
from attribution.paths.descriptive import Descriptive, descriptive, descriptive_from_transitions
from attribution.paths.methods import METHODS
from attribution.settings import AttributionSettings
from histories.errors import ConfigError, ModelError
from histories.journeys import count_paths, walk_journeys
from histories.timeline import JourneyWindow

GROUPS = {"twitter": "social", "forum": "social"}
END = date(2026, 6, 30)
WINDOW = JourneyWindow(lookback_days=30, observation_end=END)


def day(n: int, hour: int = 0) -> datetime:
    return datetime(2026, 1, 1) + timedelta(days=n, hours=hour)


def touchpoints() -> pl.LazyFrame:
    rows = [
        (1, day(1), "twitter"),
        (1, day(3), "forum"),
        (1, day(8), "direct"),
        (2, day(5), "forum"),
        (2, day(6), "forum"),
        (3, day(2), "mail"),
    ]
    schema = {"customer_id": pl.Int64, "timestamp": pl.Datetime("us"), "channel": pl.String}
    return pl.LazyFrame(rows, schema=schema, orient="row")


def purchases() -> pl.LazyFrame:
    rows = [(1, day(10), 300_000), (2, day(20), 600_000), (2, day(90), 100_000)]
    schema = {"customer_id": pl.Int64, "timestamp": pl.Datetime("us"), "amount": pl.Int64}
    return pl.LazyFrame(rows, schema=schema, orient="row")


def credited(outcome: str, *methods: str, **choices: object) -> Descriptive:
    walk = walk_journeys(touchpoints(), purchases(), WINDOW)
    return descriptive(
        count_paths(walk.journeys).collect(),
        walk.touches,
        methods=methods or tuple(METHODS),
        outcome=outcome,
        groups=GROUPS,
        settings=AttributionSettings(**choices),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("first", {"twitter": 30.0, "forum": 60.0, "direct": 0.0, "mail": 0.0}),
        ("last", {"twitter": 0.0, "forum": 60.0, "direct": 30.0, "mail": 0.0}),
        ("last_non_direct", {"twitter": 0.0, "forum": 90.0, "direct": 0.0, "mail": 0.0}),
        ("linear", {"twitter": 10.0, "forum": 70.0, "direct": 10.0, "mail": 0.0}),
        ("position", {"twitter": 12.0, "forum": 66.0, "direct": 12.0, "mail": 0.0}),
        ("shapley", {"twitter": 10.0, "forum": 70.0, "direct": 10.0, "mail": 0.0}),
    ],
)
def test_spend_of_three_customers_by_hand(method: str, expected: dict[str, float]) -> None:
    credits = credited("spend", method).credits
    assert credits.by_channel(outcome="spend", method=method) == pytest.approx(expected)
    assert credits.by_channel(outcome="spend", method=method, level="untouched") == {"(untouched)": 10.0}
    assert credits.by_channel(outcome="spend", method=method, level="total") == {"(total)": 100.0}
    social = expected["twitter"] + expected["forum"]
    assert credits.by_channel(outcome="spend", method=method, level="group")["social"] == pytest.approx(
        social
    )


def test_time_decay_uses_the_hours_before_the_purchase() -> None:
    decayed = credited("conversion", "time_decay").credits.by_channel(
        outcome="conversion", method="time_decay"
    )
    weights = [0.5 ** (days / 7) for days in (9, 7, 2)]
    assert decayed["twitter"] == pytest.approx(weights[0] / sum(weights))
    assert decayed["forum"] == pytest.approx(1 + weights[1] / sum(weights))


def test_every_method_adds_up_to_the_same_total() -> None:
    made = credited("conversion").credits
    table = compare_credits(made)
    totals = table.filter(level="total").select(list(METHODS)).row(0)
    assert totals == pytest.approx([3.0] * len(METHODS))
    assert made.frame["kind"].unique().to_list() == ["descriptive"]
    estimated = pl.col("method").str.starts_with("markov") | (pl.col("method") == "shapley_rate")
    counted = made.frame.filter(~estimated)
    assert counted["reason"].unique().to_list() == ["descriptive: it says who was there, not what it did"]
    assert counted["supported"].all()


def test_shares_estimated_from_a_handful_of_paths_are_not_supported() -> None:
    few = credited("conversion", "markov", "shapley_rate").credits.frame
    assert not few["supported"].any()
    assert dict(few.select("method", "reason").unique().iter_rows()) == {
        "markov": "2 paths end in the outcome; 30 needed for the shares of a chain",
        "shapley_rate": "2 paths end in the outcome and 1 without it; 30 of each needed to compare rates",
    }
    many = pl.DataFrame(
        {"path": [["a"], ["b"], ["a", "b"]], "conversions": [10, 10, 10], "nulls": [10, 10, 10]}
    )
    enough = descriptive(many, outcome="conversion", groups={}, methods=["markov", "shapley_rate"])
    assert enough.credits.frame["supported"].all()


def test_counts_say_what_credit_rests_on() -> None:
    rows = credited("conversion", "linear").credits.frame
    counts = {row[0]: row[1:] for row in rows.select("channel", "touches", "customers", "n").iter_rows()}
    assert counts["forum"] == (3, 2, 2)
    assert counts["social"] == (4, 2, 2)
    assert counts["mail"] == (1, 1, 1)
    assert counts["(untouched)"] == (0, None, 1)
    assert counts["(total)"] == (6, 3, 4)


def test_the_tables_have_their_columns_and_types() -> None:
    made = credited("spend", "markov", "markov_2", "linear")
    assert made.credits.frame.schema == pl.Schema(CREDITS_SCHEMA)
    assert made.paths.schema == pl.Schema(PATHS_SCHEMA)
    assert made.transitions.schema == pl.Schema(TRANSITIONS_SCHEMA)
    assert made.removal_effects.schema == pl.Schema(REMOVAL_EFFECTS_SCHEMA)
    assert made.customer_credits.schema == pl.Schema({**CUSTOMER_CREDITS_SCHEMA, "customer_id": pl.Int64})
    assert made.transitions["order"].unique().sort().to_list() == [1, 2]
    assert made.removal_effects.group_by("method").agg(pl.col("share").sum())["share"].to_list() == (
        pytest.approx([1.0, 1.0])
    )


def test_credit_per_customer_adds_up_to_what_the_customer_spent() -> None:
    per_customer = credited("spend", "linear", "shapley", "markov").customer_credits
    assert per_customer["method"].unique().sort().to_list() == ["linear", "shapley"]
    sums = per_customer.group_by("customer_id", "method").agg(pl.col("credit").sum()).sort(pl.all())
    assert sums.rows() == [
        (1, "linear", 30.0),
        (1, "shapley", 30.0),
        (2, "linear", 60.0),
        (2, "shapley", 60.0),
    ]


def test_touches_of_other_journeys_are_refused() -> None:
    paths = pl.DataFrame({"path": ["forum"], "conversions": [5]})
    touches = walk_journeys(touchpoints(), purchases(), WINDOW).touches
    with pytest.raises(ModelError, match="conversion by time_decay"):
        descriptive(paths, touches, methods=["time_decay"], outcome="conversion", groups={})


@pytest.mark.parametrize(
    ("outcome", "method", "columns", "reason"),
    [
        ("conversion", "time_decay", {"nulls": [1]}, "counted paths hold no times"),
        ("conversion", "shapley_rate", {}, "no journeys without the outcome"),
        ("spend", "linear", {"nulls": [1]}, "the paths hold no value"),
        ("lifetime_value", "linear", {"value": [1.0]}, "lifetime value has no descriptive credit"),
    ],
)
def test_a_figure_that_cannot_be_made_is_a_row_with_its_reason(
    outcome: str, method: str, columns: dict[str, list[float]], reason: str
) -> None:
    paths = pl.DataFrame({"path": ["a > b"], "conversions": [2], **columns})
    rows = descriptive(paths, methods=[method], outcome=outcome, groups={}).credits.frame
    assert rows["credit"].null_count() == rows.height == 4
    assert not rows["supported"].any()
    assert rows["reason"].str.contains(reason).all()


def test_too_many_channels_for_the_rate_game_leave_the_other_methods() -> None:
    paths = pl.DataFrame({"path": [f"c{i}" for i in range(21)], "conversions": 1, "nulls": 1})
    made = descriptive(paths, methods=["shapley_rate", "linear"], outcome="conversion", groups={}).credits
    reasons = made.frame.filter(method="shapley_rate")["reason"].unique().to_list()
    assert reasons == ["the rate game takes 20 channels; there are 21"]
    assert sum(made.by_channel(outcome="conversion", method="linear").values()) == pytest.approx(21.0)


def test_outcomes_without_a_touch_are_all_untouched() -> None:
    paths = pl.DataFrame({"path": [""], "conversions": [4], "nulls": [2]})
    made = descriptive(
        paths, methods=["linear", "markov"], outcome="conversion", groups={}, untouched=(2, 9.0)
    )
    rows = made.credits.frame.select("method", "channel", "credit", "n").rows()
    expected = [("(untouched)", 6.0, 6), ("(total)", 6.0, 6)]
    assert rows == [("linear", *row) for row in expected] + [("markov", *row) for row in expected]


def test_excluded_channels_earn_nothing_and_leave_their_journeys_untouched() -> None:
    paths = pl.DataFrame({"path": ["a > b", "b"], "conversions": [2, 3]})
    choices = AttributionSettings(exclude_channels=("b",))
    made = descriptive(paths, methods=["last"], outcome="conversion", groups={}, settings=choices).credits
    assert made.by_channel(outcome="conversion", method="last") == {"a": 2.0}
    assert made.by_channel(outcome="conversion", method="last", level="untouched") == {"(untouched)": 3.0}


def test_repeats_are_kept_unless_channels_shall_be_unique() -> None:
    paths = pl.DataFrame({"path": ["a > a > b"], "conversions": [3]})
    unique = AttributionSettings(unique_channels=True)
    kept = descriptive(paths, methods=["linear"], outcome="conversion", groups={}).credits
    once = descriptive(paths, methods=["linear"], outcome="conversion", groups={}, settings=unique).credits
    assert kept.by_channel(outcome="conversion", method="linear") == pytest.approx({"a": 2.0, "b": 1.0})
    assert once.by_channel(outcome="conversion", method="linear") == pytest.approx({"a": 1.5, "b": 1.5})


def test_the_order_of_the_chain_can_be_left_to_held_out_journeys() -> None:
    paths = pl.DataFrame(
        {
            "path": ["a > x > a > x > a", "b > x > b > x > b", "a > x", "b > x"],
            "conversions": [80, 0, 10, 10],
            "nulls": [0, 80, 10, 10],
        }
    )
    choices = AttributionSettings(markov_order="holdout")
    made = descriptive(paths, methods=["markov"], outcome="conversion", groups={}, settings=choices)
    assert made.removal_effects["order"].unique().to_list() == [3]  # what began five touches ago decides


def test_methods_and_outcomes_that_do_not_exist_are_refused_with_the_nearest() -> None:
    paths = pl.DataFrame({"path": ["a"], "conversions": [1]})
    with pytest.raises(ConfigError, match='no method "markow"; did you mean "markov'):
        descriptive(paths, methods=["markow"], outcome="conversion", groups={})
    with pytest.raises(ConfigError, match='no outcome "spent"; did you mean "spend"'):
        descriptive(paths, methods=["markov"], outcome="spent", groups={})


def test_transitions_alone_give_the_chain_and_say_why_nothing_else() -> None:
    table = pl.DataFrame(
        {
            "from_state": ["start", "start", "a", "a", "b", "b"],
            "to_state": ["a", "b", "conversion", "null", "conversion", "null"],
            "n": [10, 10, 5, 5, 1, 9],
        }
    )
    made = descriptive_from_transitions(table, methods=["markov", "last", "incremental"], groups=GROUPS)
    assert made.credits.by_channel(outcome="conversion", method="markov") == pytest.approx(
        {"a": 5.0, "b": 1.0}
    )
    assert made.credits.frame.filter(method="last")["reason"].str.contains("no whole journeys").all()
    assert made.paths.schema == pl.Schema(PATHS_SCHEMA)
    assert made.credits.frame["method"].unique().sort().to_list() == ["last", "markov"]
