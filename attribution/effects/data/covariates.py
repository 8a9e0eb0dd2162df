"""What was known of a customer strictly before the index day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.effects.data.history import History
from attribution.effects.data.outcomes import measure_before
from attribution.effects.data.tables import EffectTables
from attribution.effects.data.units import encode_covariates
from histories.arrays import Float, Integer
from histories.errors import SchemaError, nearest
from histories.periods import DAYS_PER_YEAR

RECENT_DAYS = 90
"""Length of the window just before the index day, and of the placebo's window before that."""

DERIVED = ("spend", "loyalty", "tenure", "care_user", "generation")
"""Segments that are made when no table has a column of that name."""

GENERATIONS = {"before 1946": 0, "boomer": 1946, "x": 1965, "millennial": 1981, "z": 1997, "alpha": 2013}
"""First year of birth of each generation."""

AT_ONCE = ("topic", "channel", "sentiment_first", "audience", "brand")
"""Columns of a case that are adjusted for wherever the cases have them."""

AT_OPENING = (*AT_ONCE, "team")
"""Columns of a case that are known when it is opened; of all others the customer's previous case counts."""


def history_covariates(
    history: History, customers: Integer, day: Integer, *, hold_out: bool = False
) -> dict[str, Float]:
    """Purchases, contacts and problems of each customer before the day, shape (N,) each.

    The idle time is among them: a contact proves that a customer is still there, and customers who were
    idle as long are the ones to compare with. It also absorbs what earlier contacts did. `hold_out` leaves
    out all that the placebo's window says: totals end before it, and idle time is cut at the recent window.
    """
    start = day - RECENT_DAYS
    before = start - RECENT_DAYS - 1 if hold_out else day - 1
    bought, last = history.purchases, history.purchases.last_before(customers, day)
    idle = np.where(last >= 0, day - last, day - history.start)
    count = bought.between(customers, np.zeros_like(day), before)
    amount = bought.between(customers, np.zeros_like(day), before, "amount")
    return {
        "idle_days": np.log1p(np.minimum(idle, RECENT_DAYS) if hold_out else idle),
        "tenure_days": np.log1p(np.maximum(day - history.acquired[customers], 0)),
        "purchases_before": np.log1p(count),
        "mean_spend_before": amount / np.maximum(count, 1),
        "recent_purchases": bought.between(customers, start, day - 1),
        "recent_spend": bought.between(customers, start, day - 1, "amount"),
        "recent_contacts": history.own_acts.between(customers, start, day - 1),
        "issues_before": np.log1p(history.issues.between(customers, np.zeros_like(day), before)),
        "calendar": (day - history.start) / DAYS_PER_YEAR,
    }


def known_before(
    columns: Sequence[str],
    history: History,
    tables: EffectTables,
    customers: Integer,
    day: Integer,
    opening: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """The named columns of `customers` or `cases` as they were known before the day, one row per unit.

    A column of `cases` that is known when a case opens is taken from the index case; any other from the last
    case of the customer that was resolved before the day, else missing. Those of `DERIVED` are made from the
    history when no table has them.

    Raises
    ------
    SchemaError
        When no table has the column.
    """
    cases = _case_columns(tables)
    parts = []
    for name in columns:
        if name in history.customers.columns:
            parts.append(history.customers[name].gather(customers).alias(name))
        elif opening is not None and name in AT_OPENING and name in opening.columns:
            parts.append(opening[name])
        elif name in cases:
            parts.append(_last_case_value(name, history, tables, customers, day))
        elif name in DERIVED:
            parts.append(_derived(name, history, customers, day))
        else:
            allowed = [*history.customers.columns, *cases, *DERIVED]
            raise SchemaError(f'no column "{name}" in customers or cases; {nearest(name, allowed)}')
    return pl.DataFrame(parts)


def covariate_matrix(
    names: Sequence[str],
    history: History,
    tables: EffectTables,
    customers: Integer,
    day: Integer,
    opening: pl.DataFrame | None = None,
    *,
    hold_out: bool = False,
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The history's covariates and the named ones, shape (N, K), and their names."""
    past = history_covariates(history, customers, day, hold_out=hold_out)
    matrix = np.column_stack(list(past.values()))
    named, labels = encode_covariates(known_before(names, history, tables, customers, day, opening), names)
    return np.column_stack([matrix, named]) if names else matrix, (*past, *labels)


def told_at_opening(
    opening: pl.DataFrame, named: Sequence[str]
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """What the cases say when they open, shape (N, K), beyond the covariates that the design names."""
    columns = [
        name
        for name in AT_ONCE
        if name in opening.columns and name not in named and opening[name].n_unique() > 1
    ]
    told = opening.select(columns)
    if "audience" in columns:
        told = told.with_columns(pl.col("audience").cast(pl.Float64).clip(0).log1p())
    return encode_covariates(told, columns) if columns else (np.empty((opening.height, 0)), ())


def placebo_outcomes(
    outcomes: Sequence[str], history: History, customers: Integer, day: Integer
) -> Mapping[str, Float]:
    """Each outcome's metric over the 90 days before the recent window; NaN where that was not yet observed.

    The window is held out of the placebo's covariates: if those explain who was treated, treatment cannot be
    related to it. A treatment chosen by what the window says is refused as well: the careful side.
    """
    last = day - RECENT_DAYS - 1
    first = last - RECENT_DAYS + 1
    seen = (first >= history.start) & (history.acquired[customers] <= first)
    return {
        outcome: np.where(seen, measure_before(outcome, history, customers, first, last), np.nan)
        for outcome in outcomes
    }


def _derived(name: str, history: History, customers: Integer, day: Integer) -> pl.Series:
    """What the history itself says, all of it before the day.

    A year's spend, the number of purchases, days as a customer, whether care had been used before (as far
    back as the data go), or the generation by `customers.birth_year`.
    """
    since = np.zeros_like(day)
    if name == "spend":
        return pl.Series(name, history.purchases.between(customers, day - 365, day - 1, "amount"))
    if name == "loyalty":
        return pl.Series(name, history.purchases.between(customers, since, day - 1))
    if name == "tenure":
        days = pl.Series(name, day - history.acquired[customers])
        return days.set(days < 0, None)
    if name == "care_user":
        asked = history.issues.between(customers, since, day - 1) > 0
        return pl.Series(name, np.where(asked, "user", "non-user"))
    return _generation(name, history, customers)


def _generation(name: str, history: History, customers: Integer) -> pl.Series:
    if "birth_year" not in history.customers.columns:
        raise SchemaError('"generation" needs a column generation or birth_year in customers')
    born = history.customers["birth_year"].gather(customers).cast(pl.Float64)
    named = pl.lit(None, dtype=pl.String)
    for label, first in GENERATIONS.items():
        named = pl.when(pl.col("born") >= first).then(pl.lit(label)).otherwise(named)
    return pl.DataFrame({"born": born}).select(named.alias(name)).to_series()


def _case_columns(tables: EffectTables) -> list[str]:
    return [] if tables.cases is None else tables.cases.collect_schema().names()


def _last_case_value(
    name: str, history: History, tables: EffectTables, customers: Integer, day: Integer
) -> pl.Series:
    """The column's value at each customer's last case resolved (or opened) strictly before the day."""
    assert tables.cases is not None
    columns = _case_columns(tables)
    known_at = pl.coalesce("resolved_at", "opened_at") if "resolved_at" in columns else pl.col("opened_at")
    cases = history.number(
        tables.cases.filter(pl.col("customer_id").is_not_null() & pl.col(name).is_not_null())
        .select(
            "customer_id",
            name,
            known=known_at.dt.date().cast(pl.Int32).cast(pl.Int64),
        )
        .collect()
    ).sort("known")
    asked = pl.DataFrame({"customer": customers, "asked": day - 1}).with_row_index("row").sort("asked")
    found = asked.join_asof(
        cases.select("customer", "known", name),
        left_on="asked",
        right_on="known",
        by="customer",
        check_sortedness=False,
    )
    return found.sort("row")[name]
