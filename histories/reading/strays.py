"""What an export holds that nobody asked for: totals, orders that came to nothing, other currencies.

Each looks at columns or rows that every rule of a single row lets pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import polars as pl

from histories.errors import DataError
from histories.money import LARGEST_SUM, to_currency
from histories.reading.casts import TRUE_WORDS, text_value
from histories.reading.numbers import SIGNS, numbers
from histories.reading.rules import Rule
from histories.reading.scan import ROW
from histories.reading.schemas import Kind
from histories.reading.staging import RULE, Part, Staged

FEWEST_BEFORE_TOTAL = 5
"""So many rows before a last one that is their sum make it a total."""
UNBOUGHT = (
    *("failed", "cancelled", "canceled", "refunded", "voided", "void", "declined", "expired", "pending"),
    *("draft", "test", "trash", "abandoned", "uncollectible", "unpaid", "on-hold", "on hold", "rejected"),
    *("closed lost", "incomplete", "disputed", "charged back", "chargeback", "requires_payment_method"),
)
"""Words by which shops and tills say that an order came to nothing, or not yet to anything."""
TEST = r"(?i)(is[ _]?)?test([ _](mode|order|transaction))?"
"""How the flag of an order that was made to try a till is called."""
REFUND, NO_AMOUNT = (
    "(?i)refund",
    r"(?i)(^|[ _])(id|ids|no|number|date|time|at|count|qty|quantity|items?|reason)$",
)
"""What a column of refunds is called, and what one about them is that holds no amounts."""
WON = ("closed won", "won")
"""Of a pipeline's stages the only ones that bring anything."""
TOTALS = (
    *("total", "totals", "grand total", "subtotal", "sub-total", "sub total", "sum", "report total"),
    *("summe", "gesamt", "gesamtsumme", "zwischensumme", "somme", "sous-total", "totale", "suma", "totaal"),
)
"""Words that stand where the ids are in rows that add up others."""
VOID = ("deleted", "spam", "suspended", "merged", "closed_by_merge", "closed by merge", "duplicate")
"""Words by which desks say that a case is none, or part of another."""
STATUS = "(?i)status|stage|state"
OF_ORDERS = "nothing was bought, or not yet ({named}); they count as purchases"
SHOWN = 3
CHOSEN = 12
"""Words of a `where` in a message: all of them, since a row whose word is missing would be left out."""
LOOKED_AT = 1_000
LATEST_DAY_IF_SWAPPED = 12
FEWEST_DAYS = 100
"""So many different days would hold one after the 12th, were they what they seem."""
_CODE = r"^[A-Za-z]{3}$"


def set_aside_totals(staged: Staged) -> Staged:
    """Set aside rows that are called a total, and a last row that is the sum of all before it."""
    if staged.table.name != "transactions":
        return staged
    schema = staged.frame.collect_schema()
    if schema.get("customer_id") == pl.String:
        named = pl.col("customer_id").str.to_lowercase().str.strip_chars(" :").is_in(TOTALS)
        if staged.frame.select(named.any()).collect().item():
            staged = _set_aside(staged, "total", named.fill_null(False), "are called a total where ids stand")
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


def refuse_unasked_currencies(staged: Staged) -> None:
    """Refuse amounts of several currencies, in a column that nobody named or by the signs in the amounts.

    Raises
    ------
    DataError
        With the currencies and their rows.
    """
    money = [name for name, column in staged.table.columns.items() if column.kind is Kind.MONEY]
    for part in staged.parts:
        amounts = [part.found[name] for name in (*money, "unit_price") if name in part.found]
        if "currency" in part.dtypes or not amounts:
            continue
        for name in _unread(part):
            if "currency" in name.casefold():
                code = text_value(pl.col(name), pl.String())
                rows = part.kept.select(code.alias("code")).drop_nulls()
                if rows.select(pl.col("code").str.contains(_CODE).all()).collect().item():
                    _refuse_several(staged, rows.select(pl.col("code").str.to_uppercase()), name)
        for amount in amounts:
            if part.scanned.schema[amount] == pl.String:
                signs = part.kept.select(pl.col(amount).str.extract(f"([{re.escape(SIGNS)}])").alias("code"))
                if signs.head(LOOKED_AT).select(pl.col("code").count()).collect().item():
                    _refuse_several(staged, signs.drop_nulls(), amount)


def _refuse_several(staged: Staged, codes: pl.LazyFrame, column: str) -> None:
    counted = codes.group_by("code").len().sort("len", "code", descending=[True, False]).collect()
    if counted.height < 2:
        return
    listed = ", ".join(f"{code} ({count} rows)" for code, count in counted.head(5).iter_rows())
    key = f"inputs.{staged.table.name}"
    said = f'{key}.constants = {{ currency = "{counted.item(0, "code")}" }}'
    said = f", or, where all amounts are in one, say so: {said}" if "currency" in staged.table.columns else ""
    raise DataError(
        f'{staged.place}: column "{column}" holds {counted.height} currencies: {listed}, and amounts are '
        f"added. Convert them to one currency, or choose rows by {key}.where{said}."
    )


def refuse_sums_too_large(staged: Staged) -> None:
    """Refuse amounts whose sum the whole numbers that hold it would not.

    Raises
    ------
    DataError
        With the column and its sum.
    """
    money = [name for name, column in staged.table.columns.items() if column.kind is Kind.MONEY]
    there = [name for name in money if name in staged.frame.collect_schema()]
    sums = staged.frame.select(to_currency(pl.col(there).abs().cast(pl.Float64)).sum()).collect()
    for name in there:
        if (total := sums[name].item()) > LARGEST_SUM:
            raise DataError(
                f"{staged.place}: column {name} adds up to {total:.2g}; allowed: {LARGEST_SUM:.0e}. Give "
                "amounts in thousands of the currency where the table is made."
            )


def stray_notes(staged: Staged) -> tuple[str, ...]:
    """Orders that came to nothing and count all the same; days and months that may have changed places."""
    notes = [note for part in staged.parts for name in _unread(part) if (note := _unbought(part, name))]
    refunds = [note for part in staged.parts for note in _untaken_refunds(staged, part)]
    return (*notes, *refunds, *_swapped(staged))


def _untaken_refunds(staged: Staged, part: Part) -> Iterator[str]:
    """Columns that say how much of an order came back, which no column of ours reads."""
    read = {name for other in staged.parts for name in other.found.values()}
    for name in part.scanned.columns:
        dtype = part.scanned.schema[name]
        is_amount = re.search(REFUND, name) and not re.search(NO_AMOUNT, name)
        if name in read or not is_amount or not (dtype == pl.String or dtype.is_numeric()):
            continue
        text = text_value(pl.col(name), dtype)
        back = numbers(text, part.numbers).abs()
        asked = (
            (back.is_null() & text.is_not_null()).any() | back.is_in([0.0, 1.0]).all(),  # a flag
            (back > 0).sum().alias("rows"),
            back.sum().alias("sum"),
        )
        is_other, rows, amount = part.kept.select(*asked).collect().row(0)
        if rows and not is_other:
            yield (
                f'{part.scanned.place}: column "{name}" holds {amount:,.2f} in {rows} rows, which nothing '
                "takes off the amounts. If they are refunds, read the file a second time, "
                f'[[inputs.transactions]], with columns = {{ amount = "{name}", ... }}, negate = ["amount"].'
            )


def _unbought(part: Part, name: str) -> str | None:
    if re.fullmatch(TEST, name):
        return _left_in(part, name, TRUE_WORDS, "transactions", OF_ORDERS)
    if not re.search(STATUS, name):
        return None
    return _left_in(part, name, UNBOUGHT, "transactions", OF_ORDERS)


def void_case_notes(staged: Staged) -> tuple[str, ...]:
    """Cases that their desk took out, as spam or into another one, and that count all the same."""
    notes = [
        _left_in(part, name, VOID, "cases", "they are no cases of their own ({named}); they count as cases")
        for part in staged.parts
        for name in part.scanned.columns
        if part.scanned.schema[name] == pl.String
        and name not in part.source.where
        and re.search(STATUS, name)
    ]
    return tuple(note for note in notes if note is not None)


def _left_in(part: Part, name: str, out_words: Sequence[str], table: str, says: str) -> str | None:
    """That a column's words speak against some rows, and which words to choose by `where`."""
    word = pl.col(name).str.strip_chars()
    plain = word.str.to_lowercase().str.strip_prefix("wc-")
    counted = (
        part.kept.group_by(name)
        .len()
        .select(word.alias("word"), "len", plain.alias("plain"))
        .drop_nulls("word")
        .sort("len", "word", descending=[True, False])
        .collect()
    )
    is_out = pl.col("plain").is_in(out_words)
    if counted["plain"].is_in(WON).any():
        is_out = ~pl.col("plain").is_in(WON)
    out, kept = counted.filter(is_out), counted.filter(~is_out)["word"]
    if out.is_empty():
        return None
    named = ", ".join(f"{word} {count}" for word, count in out.head(SHOWN).select("word", "len").iter_rows())
    wanted = ", ".join(f'"{word}"' for word in kept.head(CHOSEN)) + (", ..." if kept.len() > CHOSEN else "")
    return (
        f'{part.scanned.place}: column "{name}" says of {out["len"].sum()} rows that '
        f"{says.format(named=named)}. To leave them out, set inputs.{table}.where = "
        f'{{ "{name}" = [{wanted}] }}.'
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


def _unread(part: Part) -> list[str]:
    """Text columns of a source that no column of ours, and no `where`, names."""
    read = {*part.found.values(), *part.source.where}
    return [
        name for name in part.scanned.columns if name not in read and part.scanned.schema[name] == pl.String
    ]
