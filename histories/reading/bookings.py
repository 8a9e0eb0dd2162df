"""What words and columns say of a row: that nothing was bought, that it gives back, that it is no case."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import polars as pl

from histories.reading.casts import TRUE_WORDS, text_value
from histories.reading.numbers import numbers
from histories.reading.staging import RULE, Part, Staged

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
KIND, OF_PAYMENT = (
    r"(?i)type|kind|event|typ$|^art$|[ _-]art$|kennzeichen|indicator|soll|debit|credit|sign$|vorgang",
    "(?i)card|pay|fund|method|tender|account|customer|product|item|device|channel",
)
"""What a column is called that says of what kind a booking is, and one that says how was paid, or of what."""
NO_WORD = r"(?i)(^|[^a-z])(id|ids|no|number|date|time|at|name|text|description|url)$|Id$"
"""What a column is called that holds something else in each row, and no kind."""
BACK = (
    *("refund", "refunded", "return", "chargeback", "credit note", "credit memo", "reversal", "dispute"),
    *("shop order refund", "payment refund", "partial refund", "gutschrift", "storno", "erstattung"),
    *("retoure", "rückzahlung", "rückerstattung", "remboursement", "avoir", "rimborso", "reembolso"),
)
"""Kinds of bookings that give back to customers."""
NO_SALE = (
    *("payout", "payout failure", "transfer", "withdrawal", "fee", "service fee", "adjustment", "deposit"),
    *("general withdrawal", "stripe fee", "reserve", "tax", "topup", "auszahlung", "abbuchung", "gebühr"),
    *("allgemeine abbuchung", "quote", "estimate", "draft order", "angebot"),
)
"""Kinds that are no business with a customer."""
PAIRS = (
    *({"s", "h"}, {"soll", "haben"}, {"d", "c"}, {"dr", "cr"}, {"debit", "credit"}),
    *({"+", "-"}, {"in", "out"}, {"sale", "credit"}),
)
"""Words of which one says that an amount is added and the other that it is taken off."""
WON = ("closed won", "won")
"""Of a pipeline's stages the only ones that bring anything."""
VOID = ("deleted", "spam", "suspended", "merged", "closed_by_merge", "closed by merge", "duplicate")
"""Words by which desks say that a case is none, or part of another."""
UNREACHED = (
    *("bounced", "bounce", "hard bounce", "soft bounce", "hard_bounce", "soft_bounce", "failed", "dropped"),
    *("undelivered", "not delivered", "rejected", "blocked", "suppressed", "not sent", "skipped", "error"),
)
"""Words by which senders say that a message reached nobody."""
EVENT = "(?i)status|state|event|action|activity|type|result|outcome|metric"
STEPS = ("sent", "send", "delivered", "open", "click")
"""What happens to one message."""
STATUS = "(?i)status|stage|state"
OF_ORDERS = "nothing was bought, or not yet ({named}); they count as purchases"
PRICE = r"(?i)(unit|item|list|piece)[ _]?price|^price$|price per|preis|prix unitaire|precio unitario"
QUANTITY = (
    r"(?i)^((line)?[ _]?(item|order|product)[ _])?"
    r"(quantity|qty|menge|anzahl|stück|stückzahl|units|cantidad|quantité|qté)([ _](ordered|sold))?$"
)
"""What the price of one is called, and how many were bought."""
FEWEST_ORDERS, NEARLY_ALL, FEWEST_AMOUNTS = 20, 0.9, 10
"""From so many orders of several lines on, such a share of them, with so many amounts, tells a total."""
LINES_LOOKED_AT = 1_000_000
SHOWN = 3
CHOSEN = 12
"""Words of a `where` in a message: all of them, since a row whose word is missing would be left out."""


def booking_notes(staged: Staged) -> tuple[str, ...]:
    """Rows that were bought by nobody, refunds that nothing takes off, totals and prices read as amounts."""
    unread = [(part, name) for part in staged.parts for name in part.unread]
    notes = [note for part, name in unread if (note := _unbought(part, name) or _of_other_kind(part, name))]
    refunds = [note for part in staged.parts for note in _untaken_refunds(staged, part)]
    prices = [note for part in staged.parts if (note := _price_alone(part))]
    return (*notes, *refunds, *prices, *_repeated_totals(staged))


def _price_alone(part: Part) -> str | None:
    """An amount that its column calls a price, beside a quantity that nothing reads."""
    theirs = part.found.get("amount", "")
    if not re.search(PRICE, theirs) or "quantity" in part.found:
        return None
    for name in part.scanned.columns:
        if re.search(QUANTITY, name):
            dtype = part.scanned.schema[name]
            several = (numbers(text_value(pl.col(name), dtype).cast(pl.String), part.numbers) > 1).sum()
            if rows := part.kept.select(several).collect().item():
                return (
                    f'{part.scanned.place}: amounts are those of "{theirs}", and "{name}", above 1 in {rows} '
                    "rows, is not used. If that is the price of one, set inputs.transactions.columns = "
                    f'{{ unit_price = "{theirs}", quantity = "{name}", ... }}.'
                )
    return None


def _repeated_totals(staged: Staged) -> Iterator[str]:
    """Orders whose lines nearly all have one amount, as joined tables have the order's total."""
    if "order_id" not in staged.columns or any(part.source.amounts == "order" for part in staged.parts):
        return
    sold = staged.frame.filter(pl.col(RULE).is_null(), pl.col("order_id").is_not_null(), pl.col("amount") > 0)
    sold = sold.head(LINES_LOOKED_AT)
    orders = sold.group_by("customer_id", "order_id").agg(
        pl.len(), pl.col("amount").n_unique().alias("amounts"), pl.col("amount").first()
    )
    several = orders.filter(pl.col("len") > 1)
    alike = (pl.col("amounts") == 1).sum()
    of, same, different = several.select(pl.len(), alike, pl.col("amount").n_unique()).collect().row(0)
    if of >= FEWEST_ORDERS and same >= NEARLY_ALL * of and different >= FEWEST_AMOUNTS:
        yield (
            f"{staged.place}: {same} of {of} orders with several lines have one amount on all. If that is "
            'the order\'s total, it counts once for each line: set inputs.transactions.amounts = "order".'
        )


def _untaken_refunds(staged: Staged, part: Part) -> Iterator[str]:
    """Columns that say how much of an order came back, which no column of ours reads."""
    read = {name for other in staged.parts for name in other.found.values()}
    for name in part.scanned.columns:
        dtype = part.scanned.schema[name]
        is_amount = re.search(REFUND, name) and not re.search(NO_AMOUNT, name)
        if name in read or not is_amount or not (dtype == pl.String or dtype.is_numeric()):
            continue
        text = text_value(pl.col(name), dtype)
        listed = text.cast(pl.String).str.starts_with("[{").sum()
        if inside := part.kept.select(listed).collect().item():
            yield (
                f'{part.scanned.place}: column "{name}" holds lists in {inside} rows, which nothing takes '
                "off the amounts. If they are refunds, export them as rows of their own, with a minus."
            )
            continue
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


def _of_other_kind(part: Part, name: str) -> str | None:
    """Bookings that are no sales by a column of kinds: refunds without a sign, payouts, fees."""
    if not re.search(KIND, name) or re.search(OF_PAYMENT, name) or re.search(NO_WORD, name):
        return None
    theirs = part.found.get("amount", part.found.get("quantity"))
    if theirs is None:
        return None
    amount = numbers(text_value(pl.col(theirs), part.scanned.schema[theirs]), part.numbers)
    amount = -amount if "amount" in part.source.negate else amount
    word = pl.col(name).str.strip_chars()
    counted = (
        part.kept.group_by(word.alias("word"))
        .agg(pl.len(), (amount > 0).sum().alias("above"), (amount < 0).sum().alias("below"))
        .drop_nulls("word")
        .with_columns(pl.col("word").str.to_lowercase().str.replace_all("_", " ").alias("plain"))
        .sort("len", "word", descending=[True, False])
        .collect()
    )
    key = "inputs.transactions"

    def taken_off(kind: str) -> str:
        where = f'where = {{ "{name}" = "{kind}" }}'
        return f'read the file a second time, [[{key}]], with {where} and negate = ["amount"]'

    if {*counted["plain"]} in PAIRS and (counted["above"] > 0).all() and not counted["below"].sum():
        most, least = counted["word"]
        return (
            f'{part.scanned.place}: column "{name}" says "{most}" of {counted.item(0, "len")} rows and '
            f'"{least}" of {counted.item(1, "len")}, and both add to what was bought. If "{least}" takes '
            f'off, set {key}.where = {{ "{name}" = "{most}" }}, and {taken_off(least)}.'
        )
    is_back = pl.col("plain").is_in(BACK) & (pl.col("above") > 0)
    is_out = is_back | pl.col("plain").is_in(NO_SALE)
    out, kept = counted.filter(is_out), counted.filter(~is_out)["word"]
    if out.is_empty() or kept.is_empty():
        return None
    named = ", ".join(f"{word} {count}" for word, count in out.head(SHOWN).select("word", "len").iter_rows())
    wanted = ", ".join(f'"{word}"' for word in kept.head(CHOSEN)) + (", ..." if kept.len() > CHOSEN else "")
    back = counted.filter(is_back)["word"].head(1)
    again = "".join(f"; to take off what went back, {taken_off(kind)}" for kind in back)
    return (
        f'{part.scanned.place}: column "{name}" says of {out["len"].sum()} rows that they are no sale '
        f"({named}): amounts above 0 count as purchases, below 0 as refunds. To leave them out, set "
        f'{key}.where = {{ "{name}" = [{wanted}] }}{again}.'
    )


def unreached_notes(staged: Staged) -> tuple[str, ...]:
    """Messages and touches that reached nobody, and touches that are the steps of one message."""
    says = f"nobody was reached ({{named}}); they count as {staged.table.name}"
    unread = [
        (part, name)
        for part in staged.parts
        for name in part.unread
        if re.search(EVENT, name) and not re.search(NO_WORD, name)
    ]
    found = [_left_in(part, name, UNREACHED, staged.table.name, says) for part, name in unread]
    if staged.table.name == "touchpoints":
        found += [_steps_note(part, name) for part, name in unread]
    return tuple(note for note in found if note is not None)


def _steps_note(part: Part, name: str) -> str | None:
    words = part.kept.select(pl.col(name).unique()).collect()[name].str.to_lowercase()
    steps = words.str.extract(rf"\b({'|'.join(STEPS)})").drop_nulls().unique().sort()
    if steps.len() < 2:
        return None
    return (
        f'{part.scanned.place}: column "{name}" holds the steps of a message ({", ".join(steps)}), and each '
        "row is a touch. Where one message has several, choose by inputs.touchpoints.where: what was sent "
        "is the firm's, a click the customer's."
    )


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
