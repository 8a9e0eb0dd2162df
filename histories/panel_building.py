"""build_panel: histories to the panel of one row per customer and period.

Months and quarters are calendar periods, weeks end with `observation_end`. A customer's rows start in the
period of `acquired_at`, else of the first sign of the customer; touches before it are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from histories.confounders import read_confounders
from histories.errors import ConfigError, DataError, nearest
from histories.exits import exit_shares
from histories.panel import Panel

__all__ = ["build_panel", "period_of"]

MINOR_UNITS = 10_000
"""Money in frames is counted in 1/10,000 of the currency."""
PERIODS = ("week", "month", "quarter")


def build_panel(
    touchpoints: pl.LazyFrame,
    purchases: pl.LazyFrame,
    customers: pl.LazyFrame | None = None,
    *,
    period: str = "month",
    observation_end: date,
    channels: Sequence[str],
    origins: Mapping[str, str | None],
    groups: Mapping[str, str],
    confounders: Sequence[str] = (),
    contractual: bool,
    cases: pl.LazyFrame | None = None,
) -> Panel:
    """Count, per customer and period, treatments by channel, own acts, problems, purchases and spend.

    Parameters
    ----------
    touchpoints, purchases
        As `build_touchpoints` and `build_purchases` leave them.
    customers
        One row per customer: `acquired_at`, `ended_at` and confounders, where known.
    period
        "week", "month" or "quarter".
    observation_end
        Last day observed; the last period is the one that holds it.
    channels
        Channels to be credited, in this order; touches of others are counted as own acts only.
    origins, groups
        Who acts in each channel, and the group it belongs to; a channel without a group is its own.
    confounders, cases
        Columns of `customers` or `cases`. Text becomes indicators. Satisfaction scales and numeric columns of
        cases (mean over the customer's cases) become proxies.
    contractual
        Whether `ended_at` tells who left.

    Raises
    ------
    ConfigError
        For an unknown period or confounder, or a contractual company without `ended_at`.
    DataError
        If there is no customer or no period.
    """
    if period not in PERIODS:
        raise ConfigError(f'attribution.period = "{period}" is unknown; {nearest(period, PERIODS)}')
    index = _PeriodIndex(period=period, end=observation_end)
    ids = _customer_ids(touchpoints, purchases, customers)
    start = _first_period(touchpoints, purchases, index)
    n, p = ids.height, -start
    if not n or p < 1:
        raise DataError(
            "panel: no purchase and no touchpoint up to the observation end, so there is no period."
        )
    coded = _Coder(ids=ids, index=index, start=start, shape=(n, p))
    entry, exit_ = _spans(coded, touchpoints, purchases, customers, contractual=contractual)
    covariates, proxies = read_confounders(ids, customers, cases, confounders)
    bought = _purchase_arrays(coded, purchases)
    panel = Panel(
        channels=tuple(channels),
        groups=tuple(groups.get(name, name) for name in channels),
        origins=tuple(origins.get(name) for name in channels),
        touches=_touch_array(coded, touchpoints, channels),
        own_acts=coded.counts(touchpoints.filter(_own_act())),
        problems=coded.counts(_problems(touchpoints)),
        spend=bought["amount"],
        purchases=bought["purchases"],
        margin=bought.get("margin"),
        acquisition=_first_spend(coded, purchases, customers),
        answered=_answered_shares(touchpoints, channels),
        entry=entry,
        exit=exit_,
        exit_share=_exit_share(coded, exit_, customers),
        covariates=covariates.values,
        covariate_names=covariates.names,
        proxies=proxies.values,
        proxy_names=proxies.names,
        customer_ids=ids["customer_id"],
    )
    return _within_rows(panel)


def period_of(day: date, *, period: str, observation_end: date) -> int:
    """Number of the period that holds a day, counted back from -1, the one of the observation end.

    >>> period_of(date(2026, 5, 31), period="month", observation_end=date(2026, 6, 30))
    -2
    """
    index = _PeriodIndex(period=period, end=observation_end)
    return int(pl.select(pl.lit(day).alias("day")).select(index.of("day")).item())


@dataclass(frozen=True, slots=True, kw_only=True)
class _PeriodIndex:
    """Numbers the periods so that the one holding the observation end is -1."""

    period: str
    end: date

    def of(self, column: str) -> pl.Expr:
        day = pl.col(column).cast(pl.Date)
        if self.period == "week":
            return ((day - pl.lit(self.end)).dt.total_days() - 1).floordiv(7).cast(pl.Int64)
        size = 3 if self.period == "quarter" else 1
        months = day.dt.year().cast(pl.Int64) * 12 + day.dt.month().cast(pl.Int64) - 1
        return months.floordiv(size) - (self.end.year * 12 + self.end.month - 1) // size - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Coder:
    """Turns rows of histories into positions (customer, period) of the panel's arrays."""

    ids: pl.DataFrame
    index: _PeriodIndex
    start: int
    shape: tuple[int, int]

    def place(
        self, frame: pl.LazyFrame, *, time: str = "timestamp", keep: Sequence[str] = ()
    ) -> pl.LazyFrame:
        t = (self.index.of(time) - self.start).alias("t")
        placed = frame.select("customer_id", t, *keep).filter(pl.col("t").is_between(0, self.shape[1] - 1))
        return placed.join(self.ids.lazy(), on="customer_id", how="inner")

    def counts(self, frame: pl.LazyFrame) -> NDArray[np.float64]:
        rows = self.place(frame).group_by("i", "t").agg(pl.len().alias("n")).collect()
        out = np.zeros(self.shape)
        out[rows["i"].to_numpy(), rows["t"].to_numpy()] = rows["n"].to_numpy()
        return out


def _customer_ids(
    touchpoints: pl.LazyFrame, purchases: pl.LazyFrame, customers: pl.LazyFrame | None
) -> pl.DataFrame:
    frames = [touchpoints, purchases] if customers is None else [customers, purchases, touchpoints]
    ids = pl.concat([frame.select("customer_id") for frame in frames], how="vertical")
    return (
        ids.drop_nulls()
        .unique()
        .sort("customer_id")
        .collect()
        .with_row_index("i")
        .with_columns(pl.col("i").cast(pl.Int64))
    )


def _first_period(touchpoints: pl.LazyFrame, purchases: pl.LazyFrame, index: _PeriodIndex) -> int:
    firsts = [frame.select(index.of("timestamp").min().alias("t")) for frame in (touchpoints, purchases)]
    first = pl.concat(firsts).select(pl.col("t").min()).collect().item()
    return 0 if first is None else int(first)


def _spans(
    coded: _Coder,
    touchpoints: pl.LazyFrame,
    purchases: pl.LazyFrame,
    customers: pl.LazyFrame | None,
    *,
    contractual: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    n, p = coded.shape
    columns = () if customers is None else customers.collect_schema().names()
    if contractual and "ended_at" not in columns:
        raise ConfigError(
            "customers: a contractual company needs the column ended_at (empty for those still there)."
        )
    seen = pl.concat([coded.place(frame).select("i", "t") for frame in (touchpoints, purchases)])
    first = seen.group_by("i").agg(pl.col("t").min()).collect()
    entry = np.full(n, 0 if contractual else p - 1, dtype=np.int64)
    entry[first["i"].to_numpy()] = first["t"].to_numpy()
    exit_ = np.full(n, p, dtype=np.int64)
    if customers is not None and "acquired_at" in columns:
        rows = _periods_of(coded, customers, "acquired_at")
        entry[rows["i"].to_numpy()] = np.clip(rows["t"].to_numpy(), 0, p)
    if customers is not None and contractual:
        rows = _periods_of(coded, customers, "ended_at")
        exit_[rows["i"].to_numpy()] = np.minimum(rows["t"].to_numpy(), p)
    return entry, exit_ if contractual else None


def _exit_share(
    coded: _Coder, exit_: NDArray[np.int64] | None, customers: pl.LazyFrame | None
) -> NDArray[np.float64] | None:
    """Share of the period of leaving that was lived through, shape (N,); None where all left at its end."""
    if exit_ is None or customers is None:
        return None
    ended = customers.filter(pl.col("ended_at").is_not_null()).join(coded.ids.lazy(), on="customer_id")
    rows = ended.select("i", "ended_at").collect()
    lived = exit_shares(rows["ended_at"], period=coded.index.period, observation_end=coded.index.end)
    share = np.ones(coded.shape[0])
    share[rows["i"].to_numpy()] = lived.to_numpy()
    share[exit_ >= coded.shape[1]] = 1.0
    return share if share.min() < 1.0 else None


def _periods_of(coded: _Coder, customers: pl.LazyFrame, column: str) -> pl.DataFrame:
    t = (coded.index.of(column) - coded.start).alias("t")
    known = customers.filter(pl.col(column).is_not_null()).select("customer_id", t)
    return known.join(coded.ids.lazy(), on="customer_id").select("i", "t").collect()


def _own_act() -> pl.Expr:
    return (pl.col("origin") == "customer").fill_null(value=False) & ~pl.col("view")


def _problems(touchpoints: pl.LazyFrame) -> pl.LazyFrame:
    """The first contact of each care case; without case ids, each contact of the customer's own."""
    contacts = touchpoints.filter(_own_act() & (pl.col("kind") == "care"))
    if "case_id" not in touchpoints.collect_schema().names():
        return contacts
    return pl.concat(
        [
            contacts.filter(pl.col("case_id").is_null()).select("customer_id", "timestamp"),
            contacts.filter(pl.col("case_id").is_not_null())
            .group_by("customer_id", "case_id")
            .agg(pl.col("timestamp").min())
            .select("customer_id", "timestamp"),
        ]
    )


def _answered_shares(touchpoints: pl.LazyFrame, channels: Sequence[str]) -> tuple[float | None, ...]:
    """Of the customers' own care contacts in each channel, the share whose case was answered."""
    contacts = touchpoints.filter(_own_act() & (pl.col("kind") == "care"))
    shares = contacts.group_by("channel").agg(pl.col("treatment").mean()).collect()
    by_channel = dict(zip(shares["channel"], shares["treatment"], strict=True))
    return tuple(by_channel.get(name) for name in channels)


def _touch_array(coded: _Coder, touchpoints: pl.LazyFrame, channels: Sequence[str]) -> NDArray[np.float32]:
    treated = coded.place(touchpoints.filter(pl.col("treatment")), keep=["channel"])
    rows = treated.group_by("i", "t", "channel").agg(pl.len().alias("n")).collect()
    code = pl.DataFrame(
        {"channel": list(channels), "c": range(len(channels))}, schema={"channel": pl.String, "c": pl.Int64}
    )
    rows = rows.join(code, on="channel")
    out = np.zeros((*coded.shape, len(channels)), dtype=np.float32)
    out[rows["i"].to_numpy(), rows["t"].to_numpy(), rows["c"].to_numpy()] = rows["n"].to_numpy()
    return out


def _purchase_arrays(coded: _Coder, purchases: pl.LazyFrame) -> dict[str, NDArray[np.float64]]:
    money = [name for name in ("amount", "margin") if name in purchases.collect_schema().names()]
    sums = [pl.col(name).sum() for name in money]
    known = [pl.col("margin").is_not_null().all().alias("known")] if "margin" in money else []
    placed = coded.place(purchases, keep=money)
    rows = placed.group_by("i", "t").agg(pl.len().alias("purchases"), *sums, *known).collect()
    if known and not rows["known"].all():
        money.remove("margin")
    where = rows["i"].to_numpy(), rows["t"].to_numpy()
    arrays = {name: np.zeros(coded.shape) for name in ("purchases", *money)}
    arrays["purchases"][where] = rows["purchases"].to_numpy()
    for name in money:
        arrays[name][where] = rows[name].to_numpy() / MINOR_UNITS
    return arrays


def _first_spend(
    coded: _Coder, purchases: pl.LazyFrame, customers: pl.LazyFrame | None
) -> NDArray[np.float64]:
    """Spend of each customer's first purchase where it falls into the period of arrival, shape (N,)."""
    amount = (pl.col("amount").sort_by("timestamp").first() / MINOR_UNITS).alias("amount")
    firsts = purchases.group_by("customer_id").agg(pl.col("timestamp").min(), amount)
    rows = coded.place(firsts, keep=["amount"])
    if customers is not None and "acquired_at" in customers.collect_schema().names():
        t = (coded.index.of("acquired_at") - coded.start).alias("arrived")
        arrivals = customers.select("customer_id", t)
        rows = rows.join(arrivals, on="customer_id", how="left")
        rows = rows.filter(pl.col("arrived").is_null() | (pl.col("arrived") == pl.col("t")))
    found = rows.select("i", "amount").collect()
    out = np.zeros(coded.shape[0])
    out[found["i"].to_numpy()] = found["amount"].to_numpy()
    return out


def _within_rows(panel: Panel) -> Panel:
    """Only customers with a row, and nothing outside their rows."""
    panel = panel.take(np.flatnonzero(panel.entry <= panel.last))
    outside = ~panel.at_risk
    for array in (panel.touches, panel.own_acts, panel.problems, panel.spend, panel.purchases, panel.margin):
        if array is not None:
            array[outside] = 0
    return panel
