"""What to know of valid data: guests, refunds, equal rows, a cut history, very large customers."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl

from histories.errors import DataError
from histories.money import IN_THOUSANDTHS, to_currency
from histories.periods import DAYS_PER_MONTH
from histories.reading.links import count_equal_rows
from histories.reading.scan import FILE_STEP, ROW
from histories.reading.staging import RULE, Staged
from histories.survivors import find_survivors

BUSINESS_MULTIPLE = 100
"""A customer who spends this many times the median looks like a business."""

TRUNCATION_MULTIPLE = 2.0
"""New customers of the first month against a later one, from which a history seems cut at its start."""

MONTHS_TO_COMPARE = 6

FEWEST_REFUNDS, SHORTEST_REFUND, MOST_DUE = 50, 7, 0.02
"""From so many refunds on, so many days after their orders, what is still to come is told where it is such a
share of what was sold lately."""

FEWEST_STRANGERS = 10
"""So many people and buyers without one in common use ids of two kinds."""

MOST_CHANNELS = 100
FEWEST_TOUCHES = 10
"""More channels than that, with fewer touches each on average, are no channels."""

DIGITS_LOOKED_AT = 100
THREE_DECIMALS = r"^[-+]?\d{1,3}[.]\d{3}$"

LINES_OF_A_DAY = 2
"""A day with fewer lines in a file may be equal to another file's by chance."""

_IS_VALID = pl.col(RULE).is_null()


def transaction_notes(
    transactions: Staged, customers: Staged | None, currency: str | None
) -> tuple[str, ...]:
    """Guests with their share of revenue, refunds, equal rows, left truncation, business-size customers.

    Raises
    ------
    DataError
        When more is taken back than sold, in most rows: a ledger's sign.
    """
    place = transactions.place
    totals = _totals(transactions)
    notes = []
    if totals["guests"] and totals["revenue"]:
        share = totals["guest_revenue"] / totals["revenue"]
        notes.append(f"{place}: guests (rows without customer_id) make {share:.1%} of the revenue.")
    if totals["revenue"] < 0 and 2 * totals["refunds"] > totals["valid"]:
        turned = any("amount" in part.source.negate for part in transactions.parts)
        key = "inputs.transactions.negate"
        step = f'take "amount" out of {key}' if turned else f'set {key} = ["amount"]'
        raise DataError(
            f"{place}: {totals['refunds']} of {totals['valid']} amounts are negative, and together they are "
            f"below 0, as a ledger writes sales: nothing was bought. If so, {step}."
        )
    if totals["refunds"]:
        amount = float(totals["refunded"]) / 10_000
        notes.append(f"{place}: refunds among the valid rows: {totals['refunds']}, {-amount:,.2f} in total.")
        notes += _refunds_to_come(transactions)
    if "line_id" not in transactions.columns:
        overlap = overlap_note(transactions)
        equal = 0 if overlap else count_equal_rows(transactions)
        notes += [overlap] if overlap else []
        if equal:
            many = (
                f" of {totals['valid']}: is the export in it twice?" if 2 * equal >= totals["valid"] else "."
            )
            notes.append(
                f"{place}: rows equal to an earlier one: {equal}{many} They are kept: only a repeated "
                "line_id is a duplicate. Add line_id to have them checked."
            )
    notes += [] if currency in IN_THOUSANDTHS else _decimals_notes(transactions)
    notes += _history_notes(transactions, customers)
    return tuple(notes)


def _refunds_to_come(transactions: Staged) -> list[str]:
    """That of the latest sales a part will still be taken back, by how long refunds took."""
    if "order_id" not in transactions.columns:
        return []
    rows = transactions.frame.filter(_IS_VALID, pl.col("order_id").is_not_null()).select(
        "order_id", "amount", day=pl.col("timestamp").dt.date()
    )
    back = rows.filter(pl.col("amount") < 0)
    sold = rows.filter(pl.col("amount") > 0)
    first = sold.join(back, on="order_id", how="semi").group_by("order_id").agg(pl.col("day").min())
    taken = (
        back.join(first, on="order_id", suffix=" of sale")
        .select(
            sale="day of sale",
            amount=-pl.col("amount"),
            after=(pl.col("day") - pl.col("day of sale")).dt.total_days(),
        )
        .collect()
    )
    by_day = sold.group_by("day").agg(pl.col("amount").sum().cast(pl.Float64)).sort("day").collect()
    if taken.height < FEWEST_REFUNDS or by_day.is_empty():
        return []
    longest = int(taken["after"].quantile(0.95) or 0)
    ripe = by_day["day"].max() - timedelta(days=longest)  # type: ignore[operator]
    done, before = taken.filter(pl.col("sale") <= ripe), by_day.filter(pl.col("day") <= ripe)
    late = by_day.filter(pl.col("day") > ripe)
    if longest < SHORTEST_REFUND or not (done.height and before.height and late.height):
        return []
    share = float(done["amount"].sum()) / float(before["amount"].sum())
    age = late.select((pl.col("day").max() - pl.col("day")).dt.total_days())["day"].to_numpy()
    after = done.sort("after")
    kept = np.append(0.0, np.cumsum(after["amount"].to_numpy()) / float(after["amount"].sum()))
    come = kept[np.searchsorted(after["after"].to_numpy(), age, side="right")]
    due = share * float(((1.0 - come) * late["amount"].to_numpy()).sum()) / float(late["amount"].sum())
    if due < MOST_DUE:
        return []
    return [
        f"{transactions.place}: refunds come up to {longest} days after their orders. Of what was sold in "
        f"the last {longest} days some {due:.0%} is still to be taken back: the latest weeks look better "
        "than they will be, and forecasts and values may be too high by up to as much."
    ]


def overlap_note(staged: Staged) -> str | None:
    """Whole days of one file that stand in another one too, as exports with an overlap leave them."""
    names = [name for part in staged.parts for name in part.scanned.file_names]
    if len(names) < 2 or staged.table.dated is None:
        return None
    typed = [name for name in staged.frame.collect_schema() if name not in {ROW, RULE}]
    lines = (
        staged.frame.filter(_IS_VALID)
        .select(
            (pl.col(ROW) // FILE_STEP).alias("file"),
            pl.col(staged.table.dated).dt.date().alias("day"),
            pl.struct(typed).hash().alias("line"),
        )
        .collect()
    )
    elsewhere = pl.col("file").n_unique().over("line") > 1
    days = (
        lines.with_columns(elsewhere.alias("shared"))
        .group_by("file", "day")
        .agg(pl.len(), pl.col("shared").sum())
    )
    whole = days.filter((pl.col("len") == pl.col("shared")) & (pl.col("len") >= LINES_OF_A_DAY))
    shared = lines.join(whole, on=["file", "day"], how="semi").filter(elsewhere)
    by_line = (
        shared.group_by("line", "file").len().group_by("line").agg(pl.col("len").sum() - pl.col("len").max())
    )
    repeated = int(by_line["len"].sum())
    if not repeated:
        return None
    first, last = shared.select(pl.col("day").min().alias("first"), pl.col("day").max().alias("last")).row(0)
    files = [names[number] for number in sorted(set(shared["file"]))]
    return (
        f"{staged.place}: rows of whole days that stand in two files: {repeated} ({first} to {last}, in "
        f"{', '.join(files[:3])}). The exports seem to overlap, and these rows count twice: cut one of them, "
        "or give a line_id."
    )


def _decimals_notes(transactions: Staged) -> list[str]:
    """A point before three digits in every amount is more often a mark of thousands than of decimals."""
    notes = []
    for part in transactions.parts:
        theirs, source = part.found.get("amount"), part.source
        if theirs is None or part.scanned.schema[theirs] != pl.String or source.thousands or source.decimal:
            continue
        text = pl.col(theirs).str.strip_chars()
        amounts = part.scanned.frame.filter(text != "").select(has=text.str.contains(THREE_DECIMALS))
        is_so = pl.col("has").all() & (pl.len() >= DIGITS_LOOKED_AT)
        if all(rows.select(is_so).collect().item() for rows in (amounts.head(DIGITS_LOOKED_AT), amounts)):
            notes.append(
                f"{part.scanned.place}: every amount has exactly three decimals. If the point groups "
                'thousands, set inputs.transactions.thousands = ".".'
            )
    return notes


def touchpoint_notes(touches: Staged, transactions: Staged | None, *, has_customers: bool) -> tuple[str, ...]:
    """Touches known by their date only, and those of people without a transaction.

    The latter where no customers table says who is known.

    Raises
    ------
    DataError
        When nearly every touch has a channel of its own, or none is of a customer with a purchase.
    """
    _refuse_a_channel_each(touches)
    notes = _date_notes(touches)
    overlap = None if "touchpoint_id" in touches.columns else overlap_note(touches)
    notes = notes if overlap is None else (*notes, overlap)
    if transactions is None or has_customers:
        return notes
    buyers = transactions.frame.filter(_IS_VALID).select("customer_id").unique()
    valid = touches.frame.filter(_IS_VALID)
    unknown = valid.join(buyers, on="customer_id", how="anti").select(
        pl.len(), pl.col("customer_id").n_unique().alias("people")
    )
    rows, people = unknown.collect().row(0)
    if not rows:
        return notes
    total, customers = valid.select(pl.len()).collect().item(), buyers.select(pl.len()).collect().item()
    if rows == total and min(people, customers) >= FEWEST_STRANGERS:
        raise DataError(
            f"{touches.place}: no touch belongs to a customer with a purchase ({total} touches of {people} "
            f"people, {customers} buyers). Look whether both tables write customer_id in one way: zeros in "
            "front, a prefix, another system's id."
        )
    return (
        *notes,
        f"{touches.place}: touches of people without any transaction: {rows} ({people} people). "
        "They are kept as prospects'; name inputs.customers to have unknown customers rejected.",
    )


def _refuse_a_channel_each(touches: Staged) -> None:
    """Refuse a column of channels that names pages, messages or people: nearly each touch has its own."""
    found = touches.frame.filter(_IS_VALID).select(pl.col("channel").n_unique(), pl.len().alias("rows"))
    channels, rows = found.collect().row(0)
    if channels > MOST_CHANNELS and rows < FEWEST_TOUCHES * channels:
        raise DataError(
            f"{touches.place}: {channels:,} channels in {rows:,} touches. Does inputs.touchpoints.columns "
            "name the right column for channel, and no page or person? Channels are kinds of contact."
        )


def _date_notes(touches: Staged) -> tuple[str, ...]:
    dated = touches.frame.filter(_IS_VALID).select(pl.col("date_only").sum()).collect().item()
    if not dated:
        return ()
    return (
        f"{touches.place}: touches known by their date only: {dated}. They count from the end of "
        "their day, so never for a purchase of the same day.",
    )


def _totals(transactions: Staged) -> dict[str, int]:
    is_guest = pl.col(RULE) == "guest"
    usable = _IS_VALID | is_guest
    amount = pl.col("amount")
    return (
        transactions.frame.select(
            is_guest.sum().alias("guests"),
            _IS_VALID.sum().alias("valid"),
            amount.filter(is_guest).sum().alias("guest_revenue"),
            amount.filter(usable).sum().alias("revenue"),
            (_IS_VALID & (amount < 0)).sum().alias("refunds"),
            amount.filter(_IS_VALID & (amount < 0)).sum().alias("refunded"),
        )
        .collect()
        .row(0, named=True)
    )


def _history_notes(transactions: Staged, customers: Staged | None) -> list[str]:
    buyers = (
        transactions.frame.filter(_IS_VALID)
        .group_by("customer_id")
        .agg(
            pl.col("timestamp").min().alias("first"),
            pl.col("timestamp").max().alias("last"),
            to_currency(pl.col("amount").sum()).alias("spent"),
        )
        .collect()
    )
    if buyers.is_empty():
        return []
    found = (
        _truncation(transactions, buyers, customers),
        _survivors(transactions, buyers),
        _business_size(transactions, buyers),
    )
    return [note for note in found if note is not None]


def _survivors(transactions: Staged, buyers: pl.DataFrame) -> str | None:
    """That customers who stopped are missing; how often they buy is asked only where it seems so."""
    came, last = (buyers[name].dt.date().cast(pl.Int32).to_numpy() for name in ("first", "last"))
    end = int(last.max())
    if find_survivors(came, last, np.full(came.size, np.nan), end=end) is None:
        return None
    rows = transactions.frame.filter(_IS_VALID).group_by("customer_id")
    days = buyers.select("customer_id").join(
        rows.agg(pl.col("timestamp").dt.date().n_unique().alias("days")).collect(),
        on="customer_id",
        how="left",
        maintain_order="left",
    )["days"]
    again = days.to_numpy() - 1.0
    gap = np.divide(last - came, again, out=np.full(came.size, np.nan), where=again > 0)
    found = find_survivors(came, last, gap, end=end)
    return None if found is None else f"{transactions.place}: {found.reason}."


def _truncation(transactions: Staged, buyers: pl.DataFrame, customers: Staged | None) -> str | None:
    first_day = buyers.select(pl.col("first").min().dt.date())
    day = first_day["first"].cast(pl.String)[0]
    ending = "Their frequency and age are understated: give a longer history, or leave them out of the fit."
    if customers is not None and "acquired_at" in customers.columns:
        acquired = customers.frame.filter(
            _IS_VALID, pl.col("acquired_at") < pl.lit(first_day["first"]).first()
        )
        before = int(acquired.select(pl.len()).collect().item())
        if before:
            return (
                f"{transactions.place}: customers acquired before the history starts "
                f"({day}): {before}. {ending}"
            )
        return None
    month = ((pl.col("first") - pl.col("first").min()).dt.total_days() / DAYS_PER_MONTH).floor()
    new = buyers.group_by(month.alias("month")).len().sort("month")["len"].to_list()
    later = new[1:]
    if len(later) < MONTHS_TO_COMPARE or new[0] < TRUNCATION_MULTIPLE * sum(later) / len(later):
        return None
    return (
        f"{transactions.place}: new customers: {new[0]} in the first month, "
        f"{sum(later) / len(later):.0f} in a later one on average, "
        f"so the history seems to start after they were acquired. {ending}"
    )


def _business_size(transactions: Staged, buyers: pl.DataFrame) -> str | None:
    spent = pl.col("spent")
    is_large = spent > BUSINESS_MULTIPLE * spent.median()
    count, share = (
        buyers.filter(spent > 0)
        .select(is_large.sum(), (spent.filter(is_large).sum() / spent.sum()).alias("share"))
        .row(0)
    )
    if not count:
        return None
    return (
        f"{transactions.place}: customers who spent more than {BUSINESS_MULTIPLE} times the "
        f"median: {count}, with {share:.1%} of the revenue. They look like businesses: consider "
        "a segment of their own."
    )
