"""Incremental credit by period: v(S) is a sum over customers and periods, and so is every credit of it.

Credit of spend falls in the period in which it is spent, credit of retention in that in which leaving was
averted (of customers who are there at the end). Over the periods both add up to the credit of "(all)".
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl

from attribution.credits.schemas import CREDIT_PERIODS_SCHEMA
from attribution.incremental.beside import measured, members_of
from attribution.incremental.estimate import CreditEstimate
from attribution.incremental.range import bounds_around
from histories.arrays import Flags, Float
from histories.panel import Panel


def credit_by_period(
    panel: Panel,
    estimate: CreditEstimate,
    credits: pl.DataFrame,
    *,
    periods: Sequence[tuple[str, date]],
    interval: float,
) -> pl.DataFrame:
    """Credit of retention and spend by period, in CREDIT_PERIODS_SCHEMA.

    Parameters
    ----------
    panel, estimate
        All customers, and what `estimate_credit` found of them.
    credits
        Their table, from `credit_table`: each row is divided, supported or not for the same reason. Retention
        has neither a baseline nor a total by period.
    periods
        Name and last day of each period of the panel, length P.
    interval
        Level of the intervals: sampling error, from the refits behind those of the whole credits.
    """
    members = {"channel": members_of(panel.channels), "group": members_of(panel.groups)}
    members |= {"baseline": {"(baseline)": np.ones(panel.n_channels, dtype=bool)}}
    spent = panel.spend.sum(axis=0, dtype=np.float64)
    names = pl.DataFrame(periods, schema={"period": pl.String, "period_end": pl.Date}, orient="row")
    parts = []
    for row in credits.filter(pl.col("outcome").is_in(["retention", "spend"])).iter_rows(named=True):
        outcome, level = row["outcome"], row["level"]
        if outcome == "retention" and level not in ("channel", "group"):
            continue
        own = estimate.credit.require(outcome)
        apart = own.by_period
        credit, errors = np.full(len(periods), np.nan), np.full(len(periods), np.nan)
        if row["credit"] is not None and level == "total":
            credit = spent
        elif row["credit"] is not None and apart is not None:
            mask = members[level][row["channel"]]
            credit = apart[:, mask].sum(axis=1)
            credit = spent - credit if level == "baseline" else credit
            errors = _errors(estimate, outcome, mask)
        ends = [
            bounds_around(x, companions=[], std_error=measured(s, abs(own.total)), interval=interval)
            for x, s in zip(credit.tolist(), errors.tolist(), strict=True)
        ]
        kept = ("outcome", "level", "channel", "channel_group", "interval_level", "supported", "reason")
        parts.append(
            names.with_columns(
                pl.Series("credit", credit).fill_nan(None),
                pl.Series("low", [end.low for end in ends], dtype=pl.Float64),
                pl.Series("high", [end.high for end in ends], dtype=pl.Float64),
                *(pl.lit(row[name], dtype=CREDIT_PERIODS_SCHEMA[name]).alias(name) for name in kept),
            ).select(*CREDIT_PERIODS_SCHEMA)
        )
    return pl.concat(parts) if parts else pl.DataFrame(schema=CREDIT_PERIODS_SCHEMA)


def _errors(estimate: CreditEstimate, outcome: str, mask: Flags) -> Float:
    """Standard error of some channels' summed credit in each period, shape (P,); NaN below two replicates."""
    draws = estimate.draws.by_period[outcome]
    if len(draws) < 2:
        return np.full(draws.shape[1], np.nan)
    error: Float = draws[:, :, mask].sum(axis=2).std(axis=0, ddof=1)
    return error
