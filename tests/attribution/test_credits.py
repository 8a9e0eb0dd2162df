"""Credit adds up, or does not exist."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attribution.credits.rows import Bounds, Counts, one_row_per_group
from attribution.credits.schemas import CREDITS_SCHEMA
from attribution.credits.table import (
    Credits,
    compare_credits,
    concat_credits,
    descriptive_credits,
    incremental_credits,
    unavailable_credits,
)
from histories.errors import DataError, ModelError, SchemaError

GROUPS = {"forum": "social", "twitter": "social"}

channels = st.lists(st.sampled_from(["forum", "twitter", "chat", "mail", "phone"]), min_size=1, unique=True)
amounts = st.floats(-1e9, 1e9, allow_nan=False)


def made(**changes: float) -> Credits:
    figures = {"untouched": 1.0, "total": 10.0, **changes}
    credit = {"forum": 2.0, "twitter": 3.0, "chat": 4.0}
    return descriptive_credits(credit, outcome="spend", method="linear", groups=GROUPS, **figures)


def test_channels_and_untouched_make_the_total() -> None:
    rows = made().frame
    assert rows.schema == pl.Schema(CREDITS_SCHEMA)
    assert rows.select("level", "channel", "credit").rows() == [
        ("channel", "forum", 2.0),
        ("channel", "twitter", 3.0),
        ("channel", "chat", 4.0),
        ("group", "social", 5.0),
        ("untouched", "(untouched)", 1.0),
        ("total", "(total)", 10.0),
    ]
    assert rows["share_of_total"].to_list() == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.1, 1.0])
    assert rows["share_of_incremental"].null_count() == rows.height


@pytest.mark.parametrize("changes", [{"total": 10.1}, {"total": 10 + 1e-7}, {"untouched": 0.0}])
def test_credit_that_does_not_add_up_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ModelError, match=r"spend by linear.*sum to"):
        made(**changes)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None])
def test_credit_that_is_not_finite_is_refused(bad: float | None) -> None:
    with pytest.raises(ModelError, match="finite"):
        Credits(frame=made().frame.with_columns(credit=pl.when(channel="chat").then(bad).otherwise("credit")))


def test_a_group_that_is_not_the_sum_of_its_channels_is_refused() -> None:
    wrong = pl.when(pl.col("level") == "group").then(1.0).otherwise("credit")
    with pytest.raises(ModelError, match=r"group 'social' has 1\.0, its channels sum to 5\.0"):
        Credits(frame=made().frame.with_columns(credit=wrong))


def test_a_table_without_a_total_is_refused() -> None:
    with pytest.raises(ModelError, match="0 total"):
        Credits(frame=made().frame.filter(pl.col("level") != "total"))


def test_a_frame_of_another_form_is_refused() -> None:
    with pytest.raises(SchemaError, match="roas"):
        Credits(frame=made().frame.drop("roas"))


@settings(max_examples=40, deadline=None)
@given(names=channels, data=st.data())
def test_any_credit_with_a_baseline_adds_up_and_so_do_its_groups(
    names: list[str], data: st.DataObject
) -> None:
    credit = {name: data.draw(amounts) for name in names}
    baseline = data.draw(amounts)
    total = sum(credit.values()) + baseline
    rows = incremental_credits(
        credit, outcome="retention", baseline=baseline, total=total, groups=GROUPS
    ).frame
    size = sum(map(abs, credit.values())) + abs(baseline)
    by_level = {level: part["credit"].sum() for (level,), part in rows.group_by("level")}
    groups = one_row_per_group(rows)
    assert by_level["channel"] == pytest.approx(groups["credit"].sum(), abs=1e-12 * size)
    assert groups["channel_group"].is_unique().all()
    assert by_level["channel"] + by_level["baseline"] == pytest.approx(by_level["total"], abs=1e-9 * size)


def test_incremental_rows_carry_interval_range_support_and_reason() -> None:
    rows = incremental_credits(
        {"forum": 4.0, "chat": -1.0},
        outcome="spend",
        baseline=7.0,
        total=10.0,
        groups=GROUPS,
        bounds={"forum": Bounds(low=3.0, high=5.0, range_low=2.0, range_high=6.0)},
        group_bounds={"social": Bounds(low=2.5, high=5.5)},
        interval_level=0.95,
        counts=Counts(touches={"forum": 30, "chat": 5}, customers={"forum": 20}, n={"(total)": 100}),
        costs={"forum": 2.0},
        supported={"chat": False},
        reason={"chat": "too few"},
    ).frame
    at = {(row["level"], row["channel"]): row for row in rows.iter_rows(named=True)}
    forum, chat, social = at["channel", "forum"], at["channel", "chat"], at["group", "social"]
    assert (forum["low"], forum["high"], forum["range_low"], forum["interval_level"]) == (3.0, 5.0, 2.0, 0.95)
    assert (social["low"], social["high"], social["touches"], social["cost"]) == (2.5, 5.5, 30, 2.0)
    assert (forum["roas"], forum["share_of_incremental"]) == (2.0, 4.0 / 3.0)
    assert (chat["supported"], chat["reason"], chat["interval_level"]) == (False, "too few", None)
    assert (forum["supported"], forum["reason"]) == (True, None)
    assert (at["total", "(total)"]["touches"], at["total", "(total)"]["n"]) == (35, 100)
    assert at["baseline", "(baseline)"]["share_of_incremental"] is None


def test_return_on_cost_is_made_for_spend_only() -> None:
    kwargs = {"untouched": 0.0, "total": 2.0, "groups": {}, "costs": {"chat": 4.0}, "method": "last"}
    spend = descriptive_credits({"chat": 2.0}, outcome="spend", **kwargs)
    count = descriptive_credits({"chat": 2.0}, outcome="conversion", **kwargs)
    assert spend.frame["roas"].to_list() == [0.5, None, None]
    assert count.frame["roas"].null_count() == 3


def test_a_method_without_a_figure_has_rows_that_say_why() -> None:
    rows = unavailable_credits(
        ["forum", "chat"],
        outcome="spend",
        method="last",
        kind="descriptive",
        groups=GROUPS,
        reason="no value",
    ).frame
    assert rows["credit"].null_count() == rows.height == 5
    assert rows["reason"].unique().to_list() == ["no value"]
    assert not rows["supported"].any()


def test_methods_stand_side_by_side_with_their_span() -> None:
    other = descriptive_credits(
        {"forum": 5.0, "twitter": 3.0, "chat": 1.0},
        outcome="spend",
        method="last",
        untouched=1.0,
        total=10.0,
        groups=GROUPS,
    )
    both = concat_credits([made(), other])
    table = compare_credits(both)
    forum = table.row(by_predicate=pl.col("channel") == "forum", named=True)
    assert (forum["linear"], forum["last"], forum["lowest"], forum["highest"]) == (2.0, 5.0, 2.0, 5.0)
    assert both.by_channel(outcome="spend", method="last")["chat"] == 1.0


def test_a_measure_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="'credits' is not a numeric column"):
        compare_credits(made(), measure="credits")


def test_no_credits_is_an_empty_typed_table() -> None:
    assert concat_credits([]).frame.schema == pl.Schema(CREDITS_SCHEMA)
