"""A return counts only what was added and can be supported, against what it cost."""

import polars as pl
import pytest

from attribution.credits.rows import Bounds
from attribution.credits.table import incremental_credits
from care.returns import chance_above, returns_of_credit

GROUPS = {"forum": "social", "twitter": "social"}


def credits(*, supported: bool = True) -> pl.DataFrame:
    around = {
        "forum": Bounds(low=100.0, high=300.0),
        "twitter": Bounds(low=0.0, high=200.0),
        "ads": Bounds(low=-50.0, high=150.0),
        "(baseline)": Bounds(low=400.0, high=800.0),
    }
    return incremental_credits(
        {"forum": 200.0, "twitter": 100.0, "ads": 50.0},
        outcome="spend",
        baseline=650.0,
        total=1000.0,
        groups=GROUPS,
        bounds=around,
        group_bounds={"social": Bounds(low=180.0, high=420.0), "ads": Bounds(low=-50.0, high=150.0)},
        interval_level=0.95,
        supported=supported,
    ).frame


def test_a_group_returns_its_margin_over_its_cost() -> None:
    table = returns_of_credit(
        credits(), gross_margin=0.5, costs={"forum": 60.0, "twitter": 40.0}, groups=GROUPS
    )
    (social,) = table.to_dicts()
    assert social["scenario"] == "social"
    assert social["incremental_margin"] == pytest.approx(150.0)
    assert social["roi"] == pytest.approx((150.0 - 100.0) / 100.0)
    assert (social["roi_low"], social["roi_high"]) == pytest.approx((-0.1, 1.1))
    assert social["probability_positive"] == pytest.approx(0.949, abs=1e-3)


def test_all_channels_together_need_the_cost_of_each() -> None:
    costs = {"forum": 60.0, "twitter": 40.0, "ads": 20.0}
    table = returns_of_credit(credits(), gross_margin=0.5, costs=costs, groups=GROUPS)
    row = table.filter(pl.col("scenario") == "all channels").row(0, named=True)
    assert row["incremental_margin"] == pytest.approx(175.0)
    assert row["cost"] == 120.0
    assert (row["roi_low"], row["roi_high"]) == pytest.approx(((100 - 120) / 120, (300 - 120) / 120))


def test_what_is_not_supported_returns_nothing() -> None:
    table = returns_of_credit(
        credits(supported=False), gross_margin=0.5, costs={"forum": 60.0, "twitter": 40.0}, groups=GROUPS
    )
    assert table.is_empty()


def test_credited_revenue_never_enters_as_a_gain() -> None:
    descriptive = credits().with_columns(pl.lit("descriptive").alias("kind"))
    assert returns_of_credit(descriptive, gross_margin=0.5, costs={"forum": 1.0}, groups=GROUPS).is_empty()


def test_a_channel_without_cost_has_no_return() -> None:
    assert returns_of_credit(credits(), gross_margin=0.5, costs={}, groups=GROUPS).is_empty()


def test_the_chance_is_one_half_where_margin_equals_cost() -> None:
    assert chance_above(10.0, mean=10.0, std_error=3.0) == pytest.approx(0.5)
