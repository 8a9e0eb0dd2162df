"""What an export holds beside its rows: totals, customers who are nobody, months in the place of days.

Each looks at columns or rows that every rule of a single row lets pass.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from histories.identity import NOBODY
from histories.money import IN_THOUSANDTHS, MONEY_SCALE
from histories.reading.rules import Rule
from histories.reading.scan import ROW
from histories.reading.schemas import Kind
from histories.reading.staging import RULE, Staged

FEWEST_BEFORE_TOTAL = 5
"""So many rows before a last one that is their sum make it a total."""
NO_ONE = (
    *(*NOBODY, "guest customer", "guest checkout", "guest user", "gast", "gastkunde", "invité", "invitado"),
    *("walk-in", "walk in", "walkin", "walk-in customer", "walk in customer", "pos customer"),
    *("cash customer", "anonymous customer", "unknown customer"),
    *("not logged in", "no customer", "unbekannt", "laufkunde", "laufkundschaft", "barverkauf"),
)
"""What shops and tills write in the place of a customer's id where they know none."""
NO_NUMBER = r"^(0+|-\d|9{4,})$"
"""And what numbers they write: one of them is noted where a crowd stands behind it."""
CROWD, FEWEST_OF_CROWD = 10, 20
"""So many times the rows of the median customer, and so many rows at the least."""
TOTALS = (
    *("total", "totals", "grand total", "subtotal", "sub-total", "sub total", "sum", "report total"),
    *("summe", "gesamt", "gesamtsumme", "zwischensumme", "somme", "sous-total", "totale", "suma", "totaal"),
    *("average", "mean", "median", "durchschnitt", "mittelwert", "moyenne", "promedio", "gemiddelde"),
)
"""Words that stand where the ids are in rows that sum up others."""
FEWEST_NAMED = 10
"""So many customers of one row each, among more rows of nobody, look like a report in blocks."""
LEAST_CENTS, MOST_ROUND = 500, 0.5
"""Whole amounts below that, or as often in hundreds, may well be whole currency."""
WITHOUT_CENTS = ("JPY", "KRW", "VND", "CLP", "ISK", "HUF", "IDR", "COP", "PYG", "UGX", "XAF", "XOF", "TWD")
"""Currencies in which nobody pays cents."""
LOOKED_AT = 1_000
OFFSET = r"(?i)\d\s*(z|utc|gmt|[+-]\d\d(:?\d\d)?)$"
"""How a time ends that says its offset from UTC."""
LATEST_DAY_IF_SWAPPED = 12
FEWEST_DAYS = 100
"""So many different days would hold one after the 12th, were they what they seem."""


def set_aside_nobody(staged: Staged) -> Staged:
    """Set aside orders whose customer is called "guest" or the like: all of them would be one customer."""
    if staged.table.name != "transactions" or staged.frame.collect_schema()["customer_id"] != pl.String:
        return staged
    said = pl.col("customer_id").str.to_lowercase().str.strip_chars().is_in(NO_ONE).fill_null(False)
    if not staged.frame.select(said.any()).collect().item():
        return staged
    named = pl.when(~said).then("customer_id").alias("customer_id")
    judged = pl.when(said).then(pl.coalesce(RULE, pl.lit("guest"))).otherwise(RULE).alias(RULE)
    return staged.with_frame(staged.frame.with_columns(named, judged))


def set_aside_totals(staged: Staged) -> Staged:
    """Set aside rows that are called a total, and a last row that is the sum of all before it."""
    if staged.table.name != "transactions":
        return staged
    schema = staged.frame.collect_schema()
    if schema.get("customer_id") == pl.String:
        named = pl.col("customer_id").str.to_lowercase().str.strip_chars(" :").is_in(TOTALS)
        if staged.frame.select(named.any()).collect().item():
            staged = _set_aside(
                staged, "total", named.fill_null(False), "are called a total or a mean where ids stand"
            )
    amounts = staged.frame.filter(pl.col(RULE).is_null() | (pl.col(RULE) != "total"))
    amounts = amounts.select(ROW, "amount").drop_nulls()
    row, everything, rows = (
        amounts.select(pl.col(ROW).max(), pl.col("amount").sum(), pl.len()).collect().row(0)
    )
    if rows <= FEWEST_BEFORE_TOTAL:
        return staged
    last = amounts.filter(pl.col(ROW) == row).select("amount").collect()
    if last.item() == 0 or 2 * last.item() != everything:
        return staged
    return _set_aside(staged, "sum of all", pl.col(ROW) == row, "are the sum of all rows before them")


def _set_aside(staged: Staged, name: str, rows: pl.Expr, says: str) -> Staged:
    """The table with these rows set aside, whatever else is wrong with them."""
    rule = Rule(name=name, broken=rows, says=says, sets_aside=True)
    judged = pl.when(rows).then(pl.lit(name)).otherwise(pl.col(RULE))
    return staged.with_frame(staged.frame.with_columns(judged.alias(RULE)), rule)


def clock_notes(staged: Staged, timezone: str) -> tuple[str, ...]:
    """Times of one column of which some say their offset and others do not: where an export was changed."""
    notes = []
    timed = [name for name, column in staged.table.columns.items() if column.kind is Kind.TIMESTAMP]
    for part in staged.parts:
        for theirs in (part.found[name] for name in timed if name in part.found):
            if part.source.timestamp_format or part.scanned.schema[theirs] != pl.String:
                continue
            ends = pl.concat([part.kept.head(LOOKED_AT), part.kept.tail(LOOKED_AT)])
            time = pl.col(theirs).filter(pl.col(theirs).str.contains(r"\d:\d\d"))
            told = ends.select(time.str.contains(OFFSET).unique()).collect()[theirs]
            if told.len() > 1:
                notes.append(
                    f'{part.scanned.place}: in column "{theirs}" some times say their offset from UTC and '
                    f"others do not: those are read as the local time of {part.source.timezone or timezone}. "
                    "If they are of another zone, give them as a source of their own, with its timezone."
                )
    return tuple(notes)


def stray_notes(staged: Staged, currency: str | None) -> tuple[str, ...]:
    """One customer who may be many, or stands for the rows below; days or months; cents."""
    return (
        *_crowd_notes(staged),
        *_named_once(staged),
        *_swapped(staged),
        *(() if currency in WITHOUT_CENTS else _in_cents(staged, currency)),
    )


def _crowd_notes(staged: Staged) -> Iterator[str]:
    """A number such as 0 in the place of a customer's id, with the orders of many."""
    counted = staged.frame.filter(pl.col(RULE).is_null()).group_by("customer_id").len()
    is_none = pl.col("customer_id").cast(pl.String).str.contains(NO_NUMBER)
    is_crowd = (pl.col("len") >= FEWEST_OF_CROWD) & (pl.col("len") > CROWD * pl.col("len").median())
    for word, rows in counted.filter(is_none & is_crowd).sort("customer_id").collect().iter_rows():
        yield (
            f'{staged.place}: the customer_id "{word}" has {rows} rows, more than {CROWD} times those of '
            "most customers, and they count as one customer. If guests are booked under it, set "
            f'inputs.transactions.values = {{ customer_id = {{ "{word}" = "" }} }}.'
        )


def _named_once(staged: Staged) -> Iterator[str]:
    """Customers of one row each among rows of nobody: a report in blocks, each named once."""
    is_guest = pl.col(RULE) == "guest"
    rows = staged.frame.filter(pl.col(RULE).is_null() | is_guest)
    asked = (
        is_guest.fill_null(False).sum().alias("guests"),
        is_guest.fill_null(False).filter(pl.col(ROW) == pl.col(ROW).min()).first().alias("first"),
        pl.col("customer_id").drop_nulls().len().alias("named"),
        pl.col("customer_id").drop_nulls().n_unique().alias("people"),
    )
    guests, begins_with_one, named, people = rows.select(asked).collect().row(0)
    if guests > people >= FEWEST_NAMED and named == people and not begins_with_one:
        yield (
            f"{staged.place}: {people} customers have one row each, and {guests} rows name none. If the "
            "report names a customer on the first row of a block alone, fill the column down."
        )


def _in_cents(staged: Staged, currency: str | None) -> Iterator[str]:
    """Whole amounts that are large and hardly ever round: services tell them in cents."""
    if any("amount" in part.source.units or "amount" not in part.found for part in staged.parts):
        return
    amount = pl.col("amount").filter(pl.col(RULE).is_null())
    asked = (
        amount.len().alias("rows"),
        (amount % MONEY_SCALE == 0).all().alias("whole"),
        (amount.abs().median() / MONEY_SCALE).alias("median"),
        (amount % (100 * MONEY_SCALE) == 0).mean().alias("round"),
    )
    rows, is_whole, median, is_round = staged.frame.select(asked).collect().row(0)
    if rows >= FEWEST_DAYS and is_whole and median >= LEAST_CENTS and is_round < MOST_ROUND:
        coins = "thousandths" if currency in IN_THOUSANDTHS else "cents"
        yield (
            f"{staged.place}: every amount is a whole number, {median:,.0f} in the middle. If they count "
            f'{coins}, set inputs.transactions.units = {{ amount = "{coins}" }}.'
        )


def _swapped(staged: Staged) -> tuple[str, ...]:
    """Days that all lie in the first twelve of their month: each can be a month, too."""
    valid = staged.frame.filter(pl.col(RULE).is_null())
    day = pl.col("timestamp").dt.date()
    last = valid.select(day.dt.day().max()).collect().item()
    if last is None or last > LATEST_DAY_IF_SWAPPED:
        return ()
    days, months = valid.select(day.n_unique(), months=day.dt.truncate("1mo").n_unique()).collect().row(0)
    if days < FEWEST_DAYS or months < LATEST_DAY_IF_SWAPPED / 2:
        return ()
    return (
        f"{staged.place}: of {days} different days in {months} months none is after the 12th. Have day and "
        "month changed places? See inputs.transactions.timestamp_format.",
    )
