"""Series: a metric by day, week or month, from the histories or from a table of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.effects.data.tables import EffectTables, Setting
from attribution.effects.data.unit_table import read_table, require_columns
from attribution.effects.design import EffectDesign
from histories.errors import ConfigError, DataError, SchemaError, nearest
from histories.money import MONEY_SCALE
from histories.periods import DAYS_PER_YEAR

_EVERY = {"day": "1d", "week": "1w", "month": "1mo"}
STEPS_PER_YEAR = {"day": DAYS_PER_YEAR, "week": 52.18, "month": 12.0}

TOTALS = ("spend", "purchases", "active_customers", "issues", "contacts")
"""What is counted per step from the histories: currency, purchases, customers who bought, cases, touches."""

PER_CUSTOMER = {f"{total}_per_customer": total for total in ("spend", "purchases", "issues", "contacts")}
"""The same for each customer who bought in the step."""

METRICS = (*TOTALS, *PER_CUSTOMER)

DAYS_PER_WEEK, WEEKS = 7, 6
"""From so many weeks on the days of the week are told apart."""
WHOLE = 0.9
"""Of the usual days with rows, the share that fills a step; months are shorter and longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A metric at T equal steps.

    Attributes
    ----------
    outcome
        Name of the metric.
    dates : shape (T,)
        First day of each step, datetime64[D].
    values : shape (T,)
    year
        Steps per year.
    base : shape (T,) or None
        Customers who bought in each step, by which a total of the company grows; None for a figure per
        customer and for a table of its own.
    """

    outcome: str
    dates: NDArray[np.datetime64]
    values: NDArray[np.float64]
    year: float
    base: NDArray[np.float64] | None = None

    @property
    def period(self) -> float | None:
        """Steps per year when it spans two years or more, so that a season can be told from a change."""
        return self.year if len(self.dates) >= 2 * self.year else None

    @property
    def cycle(self) -> int | None:
        """Steps per week of a daily series: weekends differ from other days."""
        daily = self.year == STEPS_PER_YEAR["day"]
        return DAYS_PER_WEEK if daily and len(self.dates) >= WEEKS * DAYS_PER_WEEK else None


def find_series(design: EffectDesign, setting: Setting) -> Iterator[Series]:
    """One series per outcome; whole steps only, steps without events are zero.

    A table of its own needs a column `date` and one per outcome.

    Raises
    ------
    ConfigError
        When a metric is unknown.
    DataError
        When its input table is missing.
    """
    for outcome in design.outcomes:
        frame = (
            _from_table(design, outcome, setting)
            if design.table is not None
            else _from_histories(design, outcome, setting)
        )
        dates = frame["date"].to_numpy().astype("datetime64[D]")
        yield Series(
            outcome=outcome,
            dates=dates,
            values=frame["value"].to_numpy(),
            year=STEPS_PER_YEAR[design.series],
            base=frame["base"].to_numpy() if "base" in frame.columns else None,
        )


def _from_table(design: EffectDesign, outcome: str, setting: Setting) -> pl.DataFrame:
    """Date and value of a table with one row per step, or with several that are summed.

    Raises
    ------
    SchemaError, DataError
        When the date is none, or a value or a step is missing: that is not 0.
    """
    frame = read_table(design, setting.base_dir)
    place = f'effect "{design.name}"'
    require_columns(frame.columns, ("date", outcome), place)
    if not frame["date"].dtype.is_temporal() or frame["date"].dtype in (pl.Time, pl.Duration):
        raise SchemaError(f'{place}: column "date" has the type {frame["date"].dtype}, expected a date.')
    rows = frame.select(
        pl.col("date").cast(pl.Date), pl.col(outcome).cast(pl.Float64).fill_nan(None).alias("value")
    ).sort("date")
    unknown = rows.filter(pl.col("value").is_null())
    if unknown.height:
        raise DataError(
            f"{place}: {outcome} has no value in {unknown.height} of {rows.height} rows (first: "
            f"{unknown['date'][0]}). Write it, or 0 where nothing came."
        )
    return _whole_steps(rows, design.series, place)


def _whole_steps(rows: pl.DataFrame, step: str, place: str) -> pl.DataFrame:
    """Sums per step, without a first and a last one that the rows do not fill."""
    steps = _by_step(rows, step)
    start = pl.col("date").dt.truncate(_EVERY[step])
    days = rows.group_by(start).agg(pl.col("date").n_unique().alias("days")).sort("date")["days"]
    if rows.height == days.len() < steps.height:
        gap = steps.filter(~pl.col("date").is_in(rows.select(start).to_series().implode()))
        raise DataError(
            f"{place}: {gap.height} of {steps.height} steps have no row (first: {step} of {gap['date'][0]}). "
            "Write them, 0 where nothing came, or read a longer step (series)."
        )
    filled = WHOLE * float(days.median() or 0.0)  # type: ignore[arg-type]
    first, last = (int(count < filled) for count in (days[0], days[-1]))
    return steps.slice(first, steps.height - first - last)


def _from_histories(design: EffectDesign, outcome: str, setting: Setting) -> pl.DataFrame:
    """Date and value of a metric of the histories, up to the last whole step; of a total, its base too."""
    if outcome not in METRICS:
        raise ConfigError(f'no metric "{outcome}" over time; {nearest(outcome, METRICS)}')
    total = PER_CUSTOMER.get(outcome, outcome)
    rows, active = _METRIC_ROWS[total](setting.tables), _active(setting.tables)
    if rows is None or (active is None and outcome in PER_CUSTOMER):
        raise DataError(f'effect "{design.name}": the table that "{outcome}" is counted from is missing')
    steps = _by_step(rows, design.series, distinct=total == "active_customers")
    if active is not None:
        base = _by_step(active, design.series, distinct=True).rename({"value": "base"})
        steps = steps.join(base, on="date", how="left").with_columns(pl.col("base").fill_null(0.0))
    if outcome in PER_CUSTOMER:
        each = pl.when(pl.col("base") > 0).then(pl.col("value") / pl.col("base")).otherwise(0.0)
        steps = steps.select("date", each.alias("value"))
    # the first and the last step are rarely whole
    return steps.sort("date").slice(1, max(steps.height - 2, 0))


def _by_step(rows: pl.DataFrame, step: str, *, distinct: bool = False) -> pl.DataFrame:
    """Sums (or distinct counts) per step, with zeros for the empty ones."""
    total = pl.col("value").n_unique() if distinct else pl.col("value").sum()
    steps = rows.group_by(pl.col("date").dt.truncate(_EVERY[step])).agg(total.cast(pl.Float64)).sort("date")
    if steps.is_empty():
        return steps
    return steps.upsample("date", every=_EVERY[step]).with_columns(pl.col("value").fill_null(0.0))


def _spend(tables: EffectTables) -> pl.DataFrame | None:
    bought = tables.purchases
    return None if bought is None else bought.select("date", value=pl.col("amount") / MONEY_SCALE).collect()


def _purchases(tables: EffectTables) -> pl.DataFrame | None:
    bought = tables.purchases
    return None if bought is None else bought.select("date", value=pl.lit(1.0)).collect()


def _active(tables: EffectTables) -> pl.DataFrame | None:
    bought = tables.purchases
    return None if bought is None else bought.select("date", value=pl.col("customer_id")).collect()


def _issues(tables: EffectTables) -> pl.DataFrame | None:
    cases = tables.cases
    if cases is None:
        return None
    return cases.select(date=pl.col("opened_at").dt.date(), value=pl.lit(1.0)).collect()


def _contacts(tables: EffectTables) -> pl.DataFrame | None:
    touches = tables.touchpoints
    if touches is None:
        return None
    return touches.select(date=pl.col("timestamp").dt.date(), value=pl.lit(1.0)).collect()


_METRIC_ROWS = {
    "spend": _spend,
    "purchases": _purchases,
    "active_customers": _active,
    "issues": _issues,
    "contacts": _contacts,
}
