"""What looks wrong although every row keeps the rules: between rows, between tables, against the calendar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

import polars as pl

from histories.errors import nearest
from histories.money import MONEY_SCALE, to_currency
from histories.reading.channel_cautions import PATH_SEPARATOR, channel_notes, channels_of, place_of, some
from histories.reading.inputs import Inputs

PATH_MARKS = (PATH_SEPARATOR, "→", "|", ";", "=>", "->", "»", ",")
"""What may stand between the channels of a path, ours first."""
_OBSERVED = (
    ("transactions", "timestamp"),
    ("touchpoints", "timestamp"),
    ("cases", "opened_at"),
    ("posts", "timestamp"),
)

LEAST_PRICE = 5
"""A median amount above it, in the currency, cannot leave every margin below 1."""
MOST_ABOVE = 0.05
"""Share of rows whose margin may exceed their amount by a mistake or a rebate."""
SILENT_DAYS = 60
"""So many days without one event before the end of observation make everybody look inactive."""


def plausibility_notes(inputs: Inputs) -> tuple[str, ...]:
    """Sentences on costs, channels, customers and the end of observation; each names count and next step."""
    return (
        *channel_notes(inputs),
        *_customer_notes(inputs),
        *_span_notes(inputs),
        *_path_notes(inputs),
        *_referral_notes(inputs),
        *_margin_notes(inputs),
        *_intervention_notes(inputs),
        *_cost_notes(inputs),
        *_assumption_notes(inputs),
        *_end_notes(inputs),
    )


def observed_days(inputs: Inputs) -> tuple[date, date] | None:
    """First and last day with a transaction, touch, case or post; None without any."""
    if ("days",) not in inputs.answers:
        inputs.answers["days",] = _ends(inputs)
    found: tuple[date, date] | None = inputs.answers["days",]
    return found


def _ends(inputs: Inputs) -> tuple[date, date] | None:
    ends = []
    for name, column in _OBSERVED:
        if name in inputs:
            day = pl.col(column).dt.date()
            known = inputs[name].select(day.alias("day")).filter(pl.col("day").dt.year().is_between(1, 9999))
            first, last = (
                known.select(pl.col("day").min().alias("first"), pl.col("day").max().alias("last"))
                .collect()
                .row(0)
            )
            ends += [] if first is None else [first, last]
    return (min(ends), max(ends)) if ends else None


def _customer_notes(inputs: Inputs) -> Iterator[str]:
    customers = inputs.get("customers")
    if customers is None:
        return
    columns, place = inputs.tables["customers"].columns, place_of(inputs, "customers")
    transactions = inputs.get("transactions")
    if "acquired_at" in columns and transactions is not None:
        first = transactions.group_by("customer_id").agg(pl.col("timestamp").dt.date().min().alias("first"))
        known = customers.select("customer_id", "acquired_at").join(first, on="customer_id")
        count, of = known.select((pl.col("first") < pl.col("acquired_at")).sum(), pl.len()).collect().row(0)
        if count:
            yield (
                f"{place}: customers who bought before their acquired_at: {count} of {of}. Is it the day of "
                "the first contract or purchase, in the same time zone?"
            )

    if "ended_at" in columns and transactions is not None:
        last = transactions.group_by("customer_id").agg(pl.col("timestamp").dt.date().max().alias("last"))
        ended = customers.select("customer_id", "ended_at").drop_nulls().join(last, on="customer_id")
        count, of = ended.select((pl.col("last") > pl.col("ended_at")).sum(), pl.len()).collect().row(0)
        if count:
            yield (
                f"{place}: customers who bought after their ended_at: {count} of {of}. They count as gone "
                "from that day on: have whoever came back stand without it, or with the last one."
            )


def _span_notes(inputs: Inputs) -> Iterator[str]:
    """Touches that all lie before the first purchase, or after the last: one table's years may be wrong."""
    if "touchpoints" not in inputs or "transactions" not in inputs:
        return
    day = pl.col("timestamp").dt.date()
    spans = [
        inputs[name].select(day.min().alias("first"), day.max().alias("last")).collect().row(0)
        for name in ("touchpoints", "transactions")
    ]
    (first, last), (start, end) = spans
    if first is not None and start is not None and (last < start or first > end):
        yield (
            f"{place_of(inputs, 'touchpoints')}: all touches ({first} to {last}) lie outside of the time of "
            f"the purchases ({start} to {end}). Do both tables tell the same years?"
        )


def _path_notes(inputs: Inputs) -> Iterator[str]:
    """Paths of which none holds the separator, where another mark stands in them."""
    if "paths" not in inputs:
        return
    path = pl.col("path")
    marks = {mark: path.str.contains(mark, literal=True).sum() for mark in PATH_MARKS}
    counts = inputs["paths"].select(pl.len().alias("rows"), **marks).collect().row(0, named=True)
    other = max(PATH_MARKS[1:], key=lambda mark: counts[mark])
    if counts[PATH_MARKS[0]] == 0 and counts[other]:
        yield (
            f'{place_of(inputs, "paths")}: no path has the separator ">", and {counts[other]} of '
            f'{counts["rows"]} have "{other}". If that stands between channels, set '
            f'inputs.paths.path_separator = "{other}".'
        )


def _referral_notes(inputs: Inputs) -> Iterator[str]:
    """Referrals that cannot be: of oneself, of nobody known, by someone who came later, in a circle."""
    if "customers" not in inputs or "referred_by" not in inputs.tables["customers"].columns:
        return
    place, by = place_of(inputs, "customers"), pl.col("referred_by")
    people = inputs["customers"].collect()
    dated = "acquired_at" in people.columns
    came = people.select(
        referred_by="customer_id", known=pl.lit(True), before="acquired_at" if dated else pl.lit(None)
    )
    referred = people.filter(by.is_not_null()).join(came, on="referred_by", how="left")
    own = referred.filter(by == pl.col("customer_id"))
    others = referred.filter(by != pl.col("customer_id"))
    unknown = others.filter(pl.col("known").is_null()).height
    later = others.filter(pl.col("before") > pl.col("acquired_at")).height if dated else 0
    circle = _in_circles(dict(others.select("customer_id", "referred_by").iter_rows()))
    for count, words, step in (
        (own.height, "who referred themselves", "Leave referred_by empty there."),
        (unknown, "referred by nobody who is known", "Name all referrers in the table of customers."),
        (
            later,
            "referred by someone who came later",
            "Is acquired_at the day of the first contract or purchase?",
        ),
        (circle, "who referred each other in a circle", "Who came first was referred by nobody of them."),
    ):
        if count:
            yield f"{place}: customers {words}: {count}. {step}"


def _in_circles(referred_by: Mapping[object, object]) -> int:
    """How many customers lie on a circle of referrals; each has one referrer at most.

    >>> _in_circles({1: 2, 2: 3, 3: 1, 4: 1})
    3
    """
    seen: dict[object, int] = {}
    count = 0
    for start in referred_by:
        path: dict[object, int] = {}
        step = start
        while step in referred_by and step not in seen and step not in path:
            path[step] = len(path)
            step = referred_by[step]
        if step in path:
            count += len(path) - path[step]
        seen |= path
    return count


def _margin_notes(inputs: Inputs) -> Iterator[str]:
    """Margins that are known of some transactions only, that seem to be shares, or that exceed the amount."""
    transactions = inputs.get("transactions")
    if transactions is None or "margin" not in inputs.tables["transactions"].columns:
        return
    missing, rows = transactions.select(pl.col("margin").null_count(), pl.len()).collect().row(0)
    if 0 < missing < rows:
        yield (
            f"{place_of(inputs, 'transactions')}: transactions without a margin: {missing} of {rows}. They "
            "take the share of the others, or [value] gross_margin; effects on margin need all of them."
        )
    margin, amount = pl.col("margin"), pl.col("amount")
    sold = transactions.filter(amount > 0, margin.is_not_null())
    of, share, above = (
        sold.select(
            pl.len(),
            (margin.is_between(0, MONEY_SCALE).all() & (amount.median() > LEAST_PRICE * MONEY_SCALE)),
            (margin > amount).sum().alias("above"),
        )
        .collect()
        .row(0)
    )
    place = place_of(inputs, "transactions")
    if of and share:
        yield (
            f"{place}: every margin lies between 0 and 1. It is read as an amount in the currency, what is "
            "left of each row; if it is a share, leave the column out and set [value] gross_margin."
        )
    elif above > MOST_ABOVE * of:
        yield (
            f"{place}: margins above the amount of their row: {above} of {of}. Does the column hold a "
            "cost, or the margin of another unit?"
        )


def _intervention_notes(inputs: Inputs) -> Iterator[str]:
    """Changes outside of the data, and several on one day."""
    log, days = inputs.get("interventions"), observed_days(inputs)
    if log is None or days is None:
        return
    place, rows = place_of(inputs, "interventions"), log.collect()
    outside = rows.filter((pl.col("date") < days[0]) | (pl.col("date") > inputs.observation_end))
    if outside.height:
        yield (
            f"{place}: changes outside of the data ({days[0]} to {inputs.observation_end}): {outside.height} "
            f"({some(outside['name'].to_list())}). Nothing can be read of them."
        )
    twice = rows.filter(pl.col("date").is_duplicated())
    if twice.height:
        yield (
            f"{place}: changes on the day of another one: {twice.height} ({some(twice['name'].to_list())}). "
            "They cannot be told apart; which one it was the data do not say."
        )


def _cost_notes(inputs: Inputs) -> Iterator[str]:
    costs = inputs.get("costs")
    if costs is None:
        return
    place, table = place_of(inputs, "costs"), costs.collect()
    negative = table.filter(pl.col("amount") < 0)
    if negative.height:
        amount = float(negative.select(to_currency(pl.col("amount").sum())).item())
        yield f"{place}: negative costs: {negative.height} rows, {amount:,.2f} in total. They lower the cost."
    yield from _outside_notes(inputs, table, place)
    care = channels_of(inputs, "cases") | channels_of(inputs, "posts", "platform")
    known = channels_of(inputs, "touchpoints") | care | set(inputs.channels)
    unknown = set(table["channel"]) - known
    if unknown and known:
        first = min(unknown)
        yield (
            f"{place}: channels of costs that no contact has: {len(unknown)} "
            f"({some(unknown)}). Their "
            f"cost is held against nothing; {nearest(first, known)}"
        )


def _outside_notes(inputs: Inputs, costs: pl.DataFrame, place: str) -> Iterator[str]:
    days, last = observed_days(inputs), inputs.observation_end
    if days is None:
        return
    first = days[0]
    outside = (pl.col("period_start") < first) | (pl.col("period_end") > last)
    found = costs.filter(outside)
    if found.height:
        yield (
            f"{place}: rows of costs that reach beyond the observation ({first} to {last}): {found.height} "
            f"of {costs.height}. Only the share of their days within it counts."
        )
    wholly = costs.filter((pl.col("period_end") < first) | (pl.col("period_start") > last))
    if wholly.height:
        spans = wholly.select(pl.format("{} to {}", "period_start", "period_end")).to_series()
        yield (
            f"{place}: rows of costs that lie wholly outside of it: {wholly.height} (first: {spans[0]}). "
            "They count for nothing; is the year right?"
        )


def _assumption_notes(inputs: Inputs) -> Iterator[str]:
    assumptions = inputs.get("assumptions")
    if assumptions is None or "expires" not in inputs.tables["assumptions"].columns:
        return
    names = assumptions.filter(pl.col("expires") < inputs.observation_end).collect()["name"].to_list()
    if names:
        yield (
            f"{place_of(inputs, 'assumptions')}: assumptions that had expired by {inputs.observation_end}: "
            f"{len(names)} of {inputs.tables['assumptions'].rows_valid} ({some(names)}). They are used and "
            "marked: renew or replace them."
        )


def _end_notes(inputs: Inputs) -> Iterator[str]:
    days = observed_days(inputs)
    if days is None:
        return
    silent = (inputs.observation_end - days[1]).days
    if silent > SILENT_DAYS:
        yield (
            f"observation_end is {inputs.observation_end}, {silent} days after the last event ({days[1]}): "
            "everybody looks inactive. Set it to the last day of the export."
        )
