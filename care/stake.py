"""Who should be answered next, and what an answer now is worth.

Value at stake = gain of an answer now x customer's lifetime value. The gain is the mean effect of an answer
on the retention of those who wait for one (the untreated), where the run supports such an effect; without it
no amount is shown. Audience is never money: it orders by itself.

A case comes as early as the better of its two places: by value, among known customers, or by need and then
audience, among all. Equal ones share the last of their places.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import polars as pl

from histories.cuts import ALL

__all__ = ["Gain", "gain_of_answer", "priority_ranks", "priority_reason"]

LOUD: Final = 10_000
"""Followers from which an audience is named as a reason."""
ANGRY: Final = -0.4
"""Tone below which a customer is called angry, -1 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """What an answer adds to the retention of a customer who waits, as a share, and which effect says so."""

    value: float
    low: float | None
    high: float | None
    effect: str


def gain_of_answer(effects: pl.DataFrame | None, names: Collection[str]) -> Gain | None:
    """The gain by the first of the effects `names` that says what the untreated would gain; None without one.

    Parameters
    ----------
    effects
        The run's effects; None where it made none.
    names
        Effects that compare answers, the one to be asked first in front.
    """
    if effects is None or not names:
        return None
    found = effects.filter(
        pl.col("name").is_in(list(names)), pl.col("supported"), pl.col("estimate") > 0,
        outcome="retention", estimand="ATU", segment=ALL,
    ).filter(pl.col("bin").is_null())  # fmt: skip
    places = {name: place for place, name in enumerate(names)}
    first = found.sort(pl.col("name").replace_strict(places, return_dtype=pl.Int64)).head(1).to_dicts()
    if not first:
        return None
    row = first[0]
    return Gain(value=row["estimate"], low=row["low"], high=row["high"], effect=row["name"])


def _need() -> pl.Expr:
    """How many things say that a case is urgent: the customer asks again, is angry, was passed on."""
    flags = (
        pl.col("repeat_of").is_not_null() | pl.col("reopened").fill_null(False),
        (pl.col("sentiment_last") < ANGRY).fill_null(False),
        pl.col("escalated").fill_null(False),
    )
    return pl.sum_horizontal(flag.cast(pl.Int64) for flag in flags)


def priority_ranks(waiting: pl.DataFrame) -> pl.DataFrame:
    """Order of the cases that wait: case_id, priority_rank (1 is the next); of equals the older is before.

    `waiting` has case_id, customer_lifetime_value (null for unknown authors), audience, repeat_of, reopened,
    escalated, sentiment_last, waiting_seconds.
    """
    worth = pl.col("customer_lifetime_value").clip(lower_bound=0.0)
    loud = _need() * 1e12 + pl.col("audience").fill_null(0)
    by_worth, by_need = (key.rank("max", descending=True) for key in (worth, loud))
    return (
        waiting.with_columns(pl.min_horizontal(by_worth, by_need).alias("early"), worth.alias("worth"))
        .sort(
            "early", "worth", "waiting_seconds", "case_id",
            descending=[False, True, True, False], nulls_last=True,
        )
        .select("case_id", pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("priority_rank"))
    )  # fmt: skip


def priority_reason(gain: Gain | None) -> pl.Expr:
    """Why a case comes early, in words; null where nothing but the wait speaks for it."""
    worth, reach = pl.col("customer_lifetime_value"), pl.col("audience")
    of_value = (
        pl.format("customer worth {}", worth.round(2))
        if gain is None
        else pl.format(
            "an answer is worth {} ({}% of {})",
            (worth * gain.value).round(2),
            pl.lit(round(100.0 * gain.value, 1)),
            worth.round(2),
        )
    )
    reason = pl.concat_str(
        pl.when(pl.col("repeat_of").is_not_null()).then(pl.lit("asks again")),
        pl.when(pl.col("reopened").fill_null(False)).then(pl.lit("reopened")),
        pl.when(pl.col("escalated").fill_null(False)).then(pl.lit("passed on")),
        pl.when(worth > 0).then(of_value),
        pl.when(reach >= LOUD).then(pl.format("{} followers", reach)),
        pl.when(pl.col("sentiment_last") < ANGRY).then(pl.lit("angry")),
        separator=", ",
        ignore_nulls=True,
    )
    return pl.when(reason != "").then(reason)
