"""Purchase summaries."""

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from clv.purchases.reference import _quiet
from clv.summary import summarize_holdout, summarize_purchases
from histories.errors import ConfigError, DataError
from tests.clv.data import CALIBRATION_END, OBSERVATION_END, cdnow_lines, cdnow_purchases, cdnow_summary

START = date(2026, 1, 1)


def purchases_of(rows: list[tuple[int, int, int, int | None]]) -> pl.LazyFrame:
    """Purchases from (customer, days after START, amount in minor units, margin in minor units)."""
    return pl.LazyFrame(
        {
            "customer_id": [r[0] for r in rows],
            "timestamp": [datetime(2026, 1, 1) + timedelta(days=r[1]) for r in rows],
            "date": [START + timedelta(days=r[1]) for r in rows],
            "amount": [r[2] for r in rows],
            "margin": pl.Series([r[3] for r in rows], dtype=pl.Int64),
        },
        schema_overrides={"date": pl.Date, "timestamp": pl.Datetime("us"), "amount": pl.Int64},
    )


@pytest.mark.parametrize("unit", ["day", "week"])
def test_the_summary_equals_lifetimes_own_on_cdnow(unit: str) -> None:
    with _quiet():
        from lifetimes.utils import summary_data_from_transaction_data

        theirs = summary_data_from_transaction_data(
            cdnow_lines().select("customer_id", "date", "dollars").to_pandas(),
            "customer_id",
            "date",
            monetary_value_col="dollars",
            observation_period_end="1997-09-30",
            freq="D",
            freq_multiplier=7 if unit == "week" else 1,
        )
    reference = pl.from_pandas(theirs.reset_index()).sort("customer_id")
    ours = summarize_purchases(
        cdnow_purchases().lazy(), observation_end=CALIBRATION_END, time_unit=unit
    ).sort("customer_id")
    assert_frame_equal(
        ours.select("customer_id", pl.col("frequency").cast(pl.Float64), "recency", "T").collect(),
        reference.select("customer_id", "frequency", "recency", "T"),
        abs_tol=1e-9,
    )
    assert_frame_equal(
        ours.select(pl.col("monetary_value").fill_null(0.0)).collect(),
        reference.select("monetary_value"),
        abs_tol=1e-9,
    )


def test_cdnow_has_its_published_counts() -> None:
    summary = cdnow_summary()
    assert summary.height == 2357
    assert summary.filter(pl.col("frequency") == 0).height == 1411
    assert summary["frequency"].sum() == 2457
    later = summarize_holdout(cdnow_purchases().lazy(), after=CALIBRATION_END, until=OBSERVATION_END)
    assert later.collect()["holdout_purchases"].sum() == 1882


CASES = {
    # purchases -> frequency, recency, T, monetary_value, revenue, margin after 28 days
    "one purchase": ([(1, 0, 50_000, None)], (0, 0.0, 28.0, None, 5.0, None)),
    "two purchases": ([(1, 0, 50_000, 10_000), (1, 7, 30_000, 5_000)], (1, 7.0, 28.0, 3.0, 8.0, 1.5)),
    "a margin is missing": ([(1, 0, 50_000, 10_000), (1, 7, 30_000, None)], (1, 7.0, 28.0, 3.0, 8.0, None)),
    "on the last day": ([(1, 0, 50_000, None), (1, 28, 10_000, None)], (1, 28.0, 28.0, 1.0, 6.0, None)),
    "after the last day": ([(1, 0, 50_000, None), (1, 29, 10_000, None)], (0, 0.0, 28.0, None, 5.0, None)),
    "a free repeat": ([(1, 0, 50_000, None), (1, 3, 0, None)], (1, 3.0, 28.0, 0.0, 5.0, None)),
    "rows in any order": ([(1, 7, 30_000, None), (1, 0, 50_000, None)], (1, 7.0, 28.0, 3.0, 8.0, None)),
}


@pytest.mark.parametrize("case", CASES)
def test_edge_cases_of_the_summary(case: str) -> None:
    rows, expected = CASES[case]
    row = summarize_purchases(
        purchases_of(rows), observation_end=START + timedelta(days=28), time_unit="day"
    ).collect()
    names = ("frequency", "recency", "T", "monetary_value", "historic_revenue", "historic_margin")
    assert row.select(names).row(0) == pytest.approx(expected)


def test_a_customer_who_came_later_is_absent() -> None:
    late = summarize_purchases(purchases_of([(1, 40, 1, None)]), observation_end=START, time_unit="day")
    assert late.collect().is_empty()


def by_groups(rows: pl.LazyFrame, *, end: date) -> pl.DataFrame:
    """The same in Polars' own words, from rows that may share a day."""
    merged = rows.filter(pl.col("date") <= end).group_by("customer_id", "date")
    days = merged.agg(pl.col("amount").sum(), pl.col("margin").sum(), gaps=pl.col("margin").null_count())
    repeats, scale = pl.len() - 1, 10_000
    first, last = pl.col("date").min(), pl.col("date").max()
    return (
        days.group_by("customer_id")
        .agg(
            first_purchase=first,
            last_purchase=last,
            frequency=repeats.cast(pl.Int64),
            recency=(last - first).dt.total_days().cast(pl.Float64),
            T=(pl.lit(end) - first).dt.total_days().cast(pl.Float64),
            monetary_value=pl.when(repeats > 0).then(
                (pl.col("amount").sum() - pl.col("amount").get(pl.col("date").arg_min())) / (repeats * scale)
            ),
            historic_revenue=pl.col("amount").sum() / scale,
            historic_margin=pl.when(pl.col("gaps").sum() == 0).then(pl.col("margin").sum() / scale),
        )
        .sort("customer_id")
        .collect()
    )


@pytest.mark.parametrize("ids", ["dense", "sparse", "text"])
def test_many_customers_are_summed_as_groups_would_be(ids: str) -> None:
    rng = np.random.default_rng(7)
    n, customers = 30_000, 5_000  # more than two blocks of customers
    who = rng.integers(0, customers, n)
    days = rng.integers(0, 400, n)
    who[:2], days[:2] = 17, -200_000  # a span of centuries
    margin = [
        None if gap else int(cents)
        for gap, cents in zip(rng.random(n) < 0.1, rng.integers(0, 9, n), strict=True)
    ]
    rows = purchases_of(
        list(
            zip(
                who.tolist(),
                rng.integers(0, 400, n).tolist(),
                rng.integers(0, 10**6, n).tolist(),
                margin,
                strict=True,
            )
        )
    )
    form = {
        "dense": pl.col("customer_id"),
        "sparse": pl.col("customer_id") * 1_000_003_000_019 - 2**52,
        "text": "c-" + pl.col("customer_id").cast(pl.String),
    }[ids]
    rows = rows.with_columns(form.alias("customer_id"))
    end = START + timedelta(days=380)
    ours = summarize_purchases(rows, observation_end=end, time_unit="day").sort("customer_id").collect()
    theirs = by_groups(rows, end=end)
    assert ours.height > 2 * 2**11
    assert_frame_equal(ours, theirs.select(ours.columns), rel_tol=1e-14)
    exact = ["customer_id", "first_purchase", "last_purchase", "frequency", "recency", "T"]
    assert_frame_equal(ours.select(exact), theirs.select(exact), check_exact=True)


def test_a_purchase_of_nobody_is_refused() -> None:
    rows = purchases_of([(1, 0, 5, None)]).with_columns(customer_id=pl.lit(None, dtype=pl.Int64))
    with pytest.raises(DataError, match="1 purchases name no customer"):
        summarize_purchases(rows, observation_end=START, time_unit="day").collect()


def test_an_unknown_time_unit_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(ConfigError, match='did you mean "week"'):
        summarize_purchases(purchases_of([(1, 0, 1, None)]), observation_end=START, time_unit="weeks")


days = st.lists(
    st.tuples(
        st.integers(1, 6), st.integers(0, 60), st.integers(0, 10**12), st.none() | st.integers(0, 10**12)
    ),
    min_size=1,
    max_size=40,
    unique_by=lambda r: (r[0], r[1]),
)


@settings(max_examples=40, deadline=None)
@given(rows=days, seed=st.integers(0, 100))
def test_neither_row_order_nor_the_split_of_customers_matters(
    rows: list[tuple[int, int, int, int | None]], seed: int
) -> None:
    def summarize(part: pl.LazyFrame) -> pl.DataFrame:
        return summarize_purchases(
            part, observation_end=START + timedelta(days=45), time_unit="week"
        ).collect()

    purchases = purchases_of(rows)
    shuffled = purchases.collect().sample(fraction=1.0, shuffle=True, seed=seed).lazy()
    odd = pl.col("customer_id") % 2 == 1
    parts = pl.concat([summarize(shuffled.filter(odd)), summarize(shuffled.filter(~odd))])
    assert_frame_equal(summarize(purchases).sort("customer_id"), parts.sort("customer_id"), check_exact=True)
