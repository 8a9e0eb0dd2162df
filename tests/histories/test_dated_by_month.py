"""Events that are dated by the month alone tell nothing of what came first within it."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl

from histories.dated_by_month import DatedByMonth, dated_by_month
from histories.panel import Panel
from histories.panel_building import build_panel

N, DAYS = 60, 360
START, END = datetime(2025, 1, 1), date(2025, 12, 26)
ORIGINS = {"forum": "customer", "letter": "firm"}


def events(*, acts: str = "", bought: str = "") -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Posts and purchases on any day, or dated the first or the last of their month; letters on the first."""
    rng = np.random.default_rng(1)

    def rows(chance: float, dating: str) -> pl.DataFrame:
        customer, day = np.nonzero(rng.random((N, DAYS)) < chance)
        at = pl.Series([START + timedelta(days=int(d), hours=9) for d in day], dtype=pl.Datetime("us"))
        frame = pl.DataFrame({"customer_id": customer.astype(str), "timestamp": at})
        move = {"first": pl.col("timestamp").dt.month_start(), "last": pl.col("timestamp").dt.month_end()}
        return frame.with_columns(timestamp=move.get(dating, pl.col("timestamp")))

    posts = rows(0.1, acts).with_columns(channel=pl.lit("forum"), origin=pl.lit("customer"))
    letters = rows(0.1, "first").with_columns(channel=pl.lit("letter"), origin=pl.lit("firm"))
    about = {"treatment": pl.lit(value=True), "view": pl.lit(value=False), "kind": pl.lit("")}
    orders = rows(0.05, bought).with_columns(amount=pl.lit(10_000, pl.Int64))
    return pl.concat([posts, letters]).with_columns(**about).lazy(), orders.lazy()


def panel(touches: pl.LazyFrame, orders: pl.LazyFrame) -> Panel:
    return build_panel(
        touches,
        orders,
        observation_end=END,
        channels=tuple(ORIGINS),
        origins=ORIGINS,
        groups={},
        contractual=False,
    )


def test_what_is_dated_by_the_month_is_told_from_what_a_firm_sends_on_the_first() -> None:
    own = ["forum"]
    assert dated_by_month(*events(), own=own) == DatedByMonth()
    assert dated_by_month(*events(acts="first"), own=own) == DatedByMonth(channels=("forum", "letter"))
    assert dated_by_month(*events(bought="last"), own=own) == DatedByMonth(purchases=True)
    few = [frame.head(90) for frame in events(acts="first", bought="last")]
    assert not dated_by_month(few[0], few[1], own=own).any


def test_posts_of_a_month_are_no_single_day_and_tell_no_moment() -> None:
    made = {dating: panel(*events(acts=dating)) for dating in ("", "first")}
    known, coarse = made[""], made["first"]
    assert np.array_equal(coarse.touches[:, :, 0], known.touches[:, :, 0])
    assert np.array_equal(coarse.own_acts, known.own_acts)
    assert known.last_moment is not None
    assert coarse.last_moment is None
    assert coarse.touch_share is None
    assert coarse.touches[:, :, 1].sum() > known.touches[:, :, 1].sum()  # letters of one day
    assert "forum, letter: nearly all are dated" in coarse.notes[-1]
    assert panel(*events(bought="last")).last_moment is None
