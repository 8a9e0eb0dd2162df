"""What the explorer's views read: the report's sources of the bundle being served, opened once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import polars as pl

from api.filtering import compile_filter
from api.served import Served
from experiments.bundle.sources import report_sources
from experiments.filters import bind_filter
from reports.build import build_context
from reports.context import ReportContext
from reports.facts import EffectFact, effects_of
from reports.sources import ReportSources

_KEPT: Final = 2
"""Bundles kept open: the one served, and the one before it while readers finish."""


@dataclass(frozen=True)
class Shelf:
    """One bundle's tables, its report, and its customers as the explorer shows them."""

    sources: ReportSources

    @cached_property
    def context(self) -> ReportContext:
        """The report as one value."""
        return build_context(self.sources)

    @cached_property
    def effects(self) -> tuple[EffectFact, ...]:
        """Every effect."""
        return effects_of(self.sources.table("effects"))

    @cached_property
    def credits(self) -> pl.DataFrame:
        """Rows of the credits table."""
        return self.sources.table("credits")

    @cached_property
    def care_units(self) -> dict[str, str]:
        """Unit of each service figure."""
        care = self.sources.table("care")
        return {} if care.is_empty() else dict(care.select("kpi", "unit").unique().drop_nulls().iter_rows())

    @cached_property
    def customers(self) -> pl.DataFrame:
        """Scores with the id as text, `worth` and days of silence, most valuable first.

        Columns: customer_id, worth, low, high, gone, silent (days), gap (days).
        """
        table = self.sources.table("customers")
        if table.is_empty():
            return pl.DataFrame()
        days = 7.0 if self.sources.manifest.get("time_unit") == "week" else 1.0
        return (
            table.select(
                pl.col("customer_id").cast(pl.String),
                worth=pl.col("customer_lifetime_value"),
                low=pl.col("customer_lifetime_value_low"),
                high=pl.col("customer_lifetime_value_high"),
                gone=pl.col("churn_probability"),
                silent=((pl.col("T") - pl.col("recency")) * days).round().cast(pl.Int64),
                gap=pl.col("average_days_between_purchases"),
            )
            .filter(pl.col("worth").is_not_null() & pl.col("gone").is_not_null())
            .sort("worth", "customer_id", descending=[True, False])
        )

    def customers_for(self, served: Served, segment: str = "") -> pl.DataFrame:
        """The same without those who were erased and are still in the files; of one named segment, or all."""
        customers = self.customers
        if customers.is_empty():
            return customers
        if segment:
            store = served.store
            bound = bind_filter(served.segments[segment], store.types, served.segments)
            inside = compile_filter(store, bound)(slice(0, len(store)))
            rows = store.find_many(customers["customer_id"].to_list())
            customers = customers.filter(pl.Series(inside[rows] & (rows >= 0)))
        if served.pending:
            hidden = [served.hides(customer_id) for customer_id in customers["customer_id"]]
            customers = customers.filter(~pl.Series(hidden, dtype=pl.Boolean))
        return customers


_SHELVES: OrderedDict[str, Shelf] = OrderedDict()
_LOCK: Final = threading.Lock()


def shelf_of(served: Served) -> Shelf:
    """The shelf of what is served; the first time this reads the bundle's tables."""
    with _LOCK:
        found = _SHELVES.get(served.etag)
        if found is None:
            found = _SHELVES[served.etag] = Shelf(report_sources(served.bundle, quotes=False))
            while len(_SHELVES) > _KEPT:
                _SHELVES.popitem(last=False)
        return found
