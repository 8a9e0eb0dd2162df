"""View Customers: all of them by value and risk, and those in a rectangle, most valuable first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import polars as pl

from reports.context import Mark, Plot
from reports.customer_drawings import MOST_POINTS, Rectangle, draw_customers
from reports.numbers import count, money, percent

SHOWN: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerRow:
    """One of the selected, as the list shows it."""

    customer_id: str
    worth: str
    mark: Mark
    gone: str
    silent: str
    gap: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomersView:
    """Everything that the view shows for its rectangle."""

    finding: str
    deck: str
    subtitle: str
    drawing: str
    scored: bool
    selected: int
    rows: tuple[CustomerRow, ...]
    plot: Plot
    rectangle: Rectangle | None
    counted: bool
    segment: str = ""

    @property
    def export(self) -> str:
        """Where the selected are exported: the service's own address, with the rectangle as its filter."""
        parts = []
        if self.rectangle is not None:
            edges = (self.rectangle.low, self.rectangle.high, self.rectangle.worth)
            low, high, worth = (f"{edge:.6g}" for edge in edges)
            parts = [f"between(churn_probability,{low},{high})", f"ge(customer_lifetime_value,{worth})"]
        if self.segment:
            parts.append(f"segment({json.dumps(self.segment, ensure_ascii=False)})")
        question = urlencode({"filter": f"and({','.join(parts)})"} if parts else {})
        return f"/v1/customers/export?{question}".rstrip("?")


def select_customers(customers: pl.DataFrame, rectangle: Rectangle | None) -> pl.DataFrame:
    """Those in the rectangle, most valuable first; everybody without one."""
    if rectangle is None or customers.is_empty():
        return customers
    return customers.filter(
        pl.col("gone").is_between(rectangle.low, rectangle.high) & (pl.col("worth") >= rectangle.worth)
    )


def customers_view(
    customers: pl.DataFrame,
    rectangle: Rectangle | None,
    *,
    currency: str | None,
    horizon: str,
    segment: str = "",
) -> CustomersView:
    """The view for a rectangle, of customers who may be those of a segment."""
    chosen = select_customers(customers, rectangle)
    all_worth = float(customers["worth"].sum()) if customers.height else 0.0
    worth = float(chosen["worth"].sum()) if chosen.height else 0.0
    number = count(chosen.height, "customer")
    finding = f"{number} worth {money(worth, currency)}"
    if rectangle is None:
        finding += f" in the next {horizon}"
        deck = "Drag a rectangle to select some, or type its edges."
    else:
        if rectangle.low > 0 and rectangle.high < 1:
            finding += " may be about to leave"
        share = percent(chosen.height / customers.height, 1) if customers.height else "none"
        part = percent(worth / all_worth) if all_worth else "none"
        deck = (
            f"Chance gone between {percent(rectangle.low)} and {percent(rectangle.high)}, worth at least "
            f"{money(rectangle.worth, currency)} over the next {horizon}: {share} of customers, {part} of "
            "all expected value."
        )
    small = customers.filter(pl.col("worth") < 1).height if customers.height else 0
    counted = customers.height - small > MOST_POINTS
    subtitle = f"Expected margin in the next {horizon}, log scale; {count(customers.height, 'customer')}"
    subtitle += f", {small:,} below one unit not drawn" if small else ""
    subtitle += "; squares, darker where there are more" if counted else ""
    rows = chosen.head(SHOWN)
    top = float(rows["high"].max() or 1.0) if rows.height else 1.0  # type: ignore[arg-type]
    return CustomersView(
        finding=finding,
        deck=deck,
        subtitle=subtitle,
        drawing=draw_customers(customers, rectangle, currency=currency, words=finding),
        scored=bool(customers.height or segment),
        selected=chosen.height,
        rows=tuple(_row(row) for row in rows.iter_rows(named=True)),
        plot=Plot(low=0.0, high=top or 1.0),
        rectangle=rectangle,
        counted=counted,
        segment=segment,
    )


def _row(row: dict[str, object]) -> CustomerRow:
    silent, gap = row["silent"], row["gap"]
    return CustomerRow(
        customer_id=str(row["customer_id"]),
        worth=f"{row['worth']:,.0f}",
        mark=Mark(form="dot", value=row["worth"], low=row["low"], high=row["high"]),  # type: ignore[arg-type]
        gone=percent(float(str(row["gone"]))),
        silent="" if silent is None else f"{silent:,}",
        gap="" if gap is None else f"{gap:,.0f}",
    )
