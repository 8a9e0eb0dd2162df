"""Who should be answered next, and what an answer now is worth.

Value at stake = gain of an answer now x customer's lifetime value. The gain is the mean effect of an answer
on the retention of those who wait for one (the untreated), where the run supports such an effect; without it
no amount is shown. Audience is never money: it orders by itself.

A case comes as early as the better of its two places: by value, among known customers, or by need and then
audience, among all. Equal ones share the last of their places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from care.evidence import CareEffect, find_effect

LOUD: Final = 10_000
"""Followers from which an audience is named as a reason."""
ANGRY: Final = -0.4
"""Tone below which a customer is called angry, -1 to 1."""


def gain_of_answer(effects: pl.DataFrame | None, designs: Sequence[Mapping[str, Any]]) -> CareEffect | None:
    """What an answer now adds to the retention of who waits for one, as a share; None where nothing says so.

    An answer against none is asked first, then each answer in time against a later one. Only what the
    untreated would gain (ATU) counts, and only a supported gain whose interval lies above zero.

    Parameters
    ----------
    effects
        The run's effects; None where it made none.
    designs
        `[[effects]]` of the configuration.
    """
    if effects is None:
        return None
    within = [(design.get("treatment") or {}).get("first_response_minutes") for design in designs]
    for minutes in (None, *dict.fromkeys(m for m in within if m is not None)):
        found = find_effect(effects, designs, "retention", minutes=minutes, estimand="ATU", exact=True)
        if found.usable and (found.low or 0.0) > 0:
            return found
    return None


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


def priority_reason(gain: float | None) -> pl.Expr:
    """Why a case comes early, in words; null where nothing but the wait speaks for it."""
    worth, reach = pl.col("customer_lifetime_value"), pl.col("audience")
    of_value = (
        pl.format("customer worth {}", worth.round(2))
        if gain is None
        else pl.format(
            "an answer is worth {} ({}% of {})",
            (worth * gain).round(2),
            pl.lit(round(100.0 * gain, 1)),
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
