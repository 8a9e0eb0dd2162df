"""Whose cost is it? What channels cost, handed to cases by the work on them, and so to customers.

A channel with cases costs each of them its share of the seconds of work, where the desk writes them down,
else its share of the contacts; a channel without cases costs each of its touches the same. What nobody known
caused (authors without a customer, channels without a contact) is named and stays unallocated, so that

    cost of the channel = sum over customers + unallocated

holds to the last minor unit: shares are rounded down and the rest goes to the largest remainders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from histories.arrays import Integer
from histories.money import to_currency

ALLOCATED_SCHEMA: Final[dict[str, pl.DataType]] = {
    "channel": pl.String(),
    "cost": pl.Float64(),  # currency, within the observation
    "to_customers": pl.Float64(),
    "customers": pl.Int64(),
    "unallocated": pl.Float64(),
    "shared_by": pl.String(),  # handling seconds, contacts, touches, or the touches' own costs
    "reason": pl.String(),  # why there is an unallocated rest
}

WORK: Final = (
    "customer_id", "channel", "brand", "needs_reply", "answered", "contacts", "handling_seconds",
)  # fmt: skip
"""What is read of cases."""

FEWEST_TIMED: Final = 0.5
"""Share of the answered cases whose seconds of work must be known for them to be the rule of a channel."""

_NOBODY: Final = "their authors are no known customers"
_SILENT: Final = "the channel has no contact"
_NO_BRAND: Final = "no case is of the brand that the costs name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Costs of channels by customer.

    Attributes
    ----------
    shares
        channel, customer_id (null for what nobody known caused), minor (Int64, minor units), shared_by,
        reason.
    """

    shares: pl.DataFrame

    def by_customer(self) -> pl.DataFrame | None:
        """customer_id, cost (currency) of every customer who caused some; None where nobody known did."""
        known = self.shares.filter(pl.col("customer_id").is_not_null())
        if known.is_empty():
            return None
        sums = known.group_by("customer_id", maintain_order=True).agg(pl.col("minor").sum())
        return sums.select("customer_id", to_currency(pl.col("minor")).alias("cost"))

    def by_channel(self) -> pl.DataFrame:
        """One row per channel in `ALLOCATED_SCHEMA`."""
        known = pl.col("customer_id").is_not_null()
        minor = pl.col("minor")
        rows = self.shares.group_by("channel").agg(
            to_currency(minor.sum()).alias("cost"),
            to_currency(minor.filter(known).sum()).alias("to_customers"),
            pl.col("customer_id").drop_nulls().n_unique().cast(pl.Int64).alias("customers"),
            to_currency(minor.filter(~known).sum()).alias("unallocated"),
            _words("shared_by"),
            _words("reason"),
        )
        return rows.select(pl.col(name).cast(dtype) for name, dtype in ALLOCATED_SCHEMA.items()).sort(
            "channel"
        )


def _words(column: str) -> pl.Expr:
    """Distinct words of a group, joined; null without any."""
    words = pl.col(column).drop_nulls().unique().sort().str.join(", ")
    return pl.when(pl.col(column).count() > 0).then(words).alias(column)


def allocate_costs(
    pools: pl.DataFrame, *, cases: pl.DataFrame | None = None, touches: pl.DataFrame | None = None
) -> Allocation:
    """Hand the cost of every channel to customers.

    Parameters
    ----------
    pools
        channel, brand (null: all of them), minor (Int64): what is to be handed out.
    cases
        customer_id (null where unknown), channel, brand, needs_reply, answered, contacts, handling_seconds.
    touches
        customer_id, channel; and `minor`, a touch's own cost, for channels that `pools` do not name.

    >>> pools = pl.DataFrame({"channel": ["chat"], "brand": [None], "minor": [100]})
    >>> touches = pl.DataFrame({"customer_id": [1, 2, 3], "channel": ["chat"] * 3})
    >>> allocate_costs(pools, touches=touches).shares["minor"].to_list()
    [34, 33, 33]
    """
    parts = [
        _handed_out(channel, brand, minor, cases, touches)
        for channel, brand, minor in pools.select("channel", "brand", "minor").iter_rows()
    ]
    if touches is not None and "minor" in touches.columns:
        own = touches.filter(
            pl.col("minor").is_not_null() & ~pl.col("channel").is_in(pools["channel"].unique().to_list())
        )
        parts.append(_rows(own.select("channel", "customer_id", "minor"), shared_by="own costs of touches"))
    filled = [part for part in parts if part.height]
    return Allocation(shares=pl.concat(filled, how="vertical_relaxed") if filled else _rows(_NONE))


_NONE: Final = pl.DataFrame(schema={"channel": pl.String, "customer_id": pl.Int64, "minor": pl.Int64})


def _rows(sums: pl.DataFrame, *, shared_by: str | None = None) -> pl.DataFrame:
    summed = sums.group_by("channel", "customer_id", maintain_order=True).agg(pl.col("minor").sum())
    reason = pl.when(pl.col("customer_id").is_null() & (pl.col("minor") != 0)).then(pl.lit(_NOBODY))
    return summed.with_columns(
        pl.lit(shared_by, dtype=pl.String).alias("shared_by"), reason.alias("reason")
    ).select("channel", "customer_id", "minor", "shared_by", "reason")


def _handed_out(
    channel: str, brand: str | None, minor: int, cases: pl.DataFrame | None, touches: pl.DataFrame | None
) -> pl.DataFrame:
    """One pool by customer."""
    here = pl.col("channel") == channel
    of_channel = None if cases is None else cases.filter(here)
    if of_channel is not None and of_channel.height:
        if brand is not None and of_channel["brand"].count():
            of_channel = of_channel.filter(pl.col("brand") == brand)
        if of_channel.is_empty():
            return _kept_back(channel, minor, _NO_BRAND)
        weights, shared_by = _work(of_channel)
        people = of_channel["customer_id"]
    else:
        found = None if touches is None else touches.filter(here)
        if found is None or found.is_empty():
            return _kept_back(channel, minor, _SILENT)
        people, weights, shared_by = found["customer_id"], np.ones(found.height), "touches"
    shares = pl.DataFrame(
        {"customer_id": people, "minor": share_exactly(minor, weights)}, schema_overrides={"minor": pl.Int64}
    )
    return _rows(shares.with_columns(pl.lit(channel).alias("channel")), shared_by=shared_by)


def _kept_back(channel: str, minor: int, reason: str) -> pl.DataFrame:
    made = pl.DataFrame({"channel": [channel], "customer_id": [None], "minor": [minor]}, schema=_NONE.schema)
    return _rows(made).with_columns(pl.lit(reason).alias("reason"))


def _work(cases: pl.DataFrame) -> tuple[NDArray[np.float64], str]:
    """How much work each case was, and by what it is told; what needs no reply makes none.

    A handled case whose seconds nobody wrote down counts as the mean of the others.
    """
    needs = cases["needs_reply"].fill_null(True).to_numpy()
    if not needs.any():
        needs = np.ones(cases.height, dtype=bool)
    seconds = cases["handling_seconds"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    handled = cases["answered"].fill_null(False).to_numpy() & needs
    timed = np.isfinite(seconds)
    if timed.any() and timed[handled].sum() >= FEWEST_TIMED * handled.sum() and np.nansum(seconds) > 0:
        filled = np.where(timed, seconds, np.where(handled, np.nanmean(seconds), 0.0))
        return filled, "handling seconds"
    contacts = cases["contacts"].cast(pl.Float64).fill_null(1.0).to_numpy()
    return np.where(needs, np.maximum(contacts, 1.0), 0.0), "contacts"


def share_exactly(total: int, weights: NDArray[np.float64]) -> Integer:
    """Whole parts of a whole number in proportion to weights, which add up to it; largest remainders first.

    >>> share_exactly(10, np.ones(3)).tolist(), share_exactly(-1, np.array([1.0, 2.0])).tolist()
    ([4, 3, 3], [0, -1])
    """
    exact: NDArray[np.float64] = abs(total) * (weights / weights.sum())
    whole: Integer = np.floor(exact).astype(np.int64)
    bearing = np.flatnonzero(weights > 0)
    each, rest = divmod(abs(total) - int(whole.sum()), bearing.size)  # each is 0 but for rounding
    whole[bearing] += each
    whole[bearing[np.argsort((whole - exact)[bearing], kind="stable")[:rest]]] += 1
    return whole if total >= 0 else -whole
