"""Checks that need more than one row: repeated ids, currencies, handles, customers of another table."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

import polars as pl

from histories.errors import ConfigError
from histories.identity import (
    DATED,
    customers_of_handles,
    international_handle,
    normal_handle,
    normal_platform,
    pseudonyms,
)
from histories.reading.rules import Rule
from histories.reading.scan import FILE_STEP, ROW
from histories.reading.staging import RULE, Staged

CANONICAL_INTEGER = r"^(?:0|-?[1-9]\d{0,17})$"
"""A whole number in its one canonical decimal form; "007" is a text."""

REPEATED = "repeated {}"

A_LOG = 0.2
"""Share of rows that repeat an earlier case from which the table looks like a log of events."""
_OF_A_LOG = (
    "Is it a log with a row for each event of a case? Then make one row of each: when it was opened, first "
    "answered and last resolved, and how often it was reopened."
)

_IS_VALID = pl.col(RULE).is_null()

OVERLAP = "overlapping period"

AMBIGUOUS = "handle of several customers"
SINCE_WHEN = (
    r"(?i)(^|[ _])(from|to|since|until|till|start|end|ended|expires?|released|terminated|deactivated|"
    r"ab|von|bis|gültig ab|gültig bis)([ _]?(date|at|on|datum))?$"
)
"""How a column of identities is called that says from when, or until when, a handle was somebody's."""


def unify_customer_ids(tables: Mapping[str, Staged], key: bytes | None) -> dict[str, Staged]:
    """Customer ids of one type in all tables: Int64 when all are whole numbers, else String.

    With a key they are pseudonyms, which are text.
    """
    as_integers = key is None and all(_has_integer_ids(staged) for staged in tables.values())
    dtype = pl.Int64 if as_integers else pl.String
    unified = {}
    for name, staged in tables.items():
        columns = [column for column in staged.table.customers if column in staged.frame.collect_schema()]
        frame = staged.frame.with_columns(pl.col(column).cast(dtype, strict=False) for column in columns)
        if key is not None:
            frame = frame.with_columns(pseudonyms(column, key) for column in columns)
        unified[name] = staged.with_frame(frame)
    return unified


def _has_integer_ids(staged: Staged) -> bool:
    schema = staged.frame.collect_schema()
    texts = [name for name in staged.table.customers if schema.get(name) == pl.String]
    if not texts:
        return True
    whole = (pl.col(name).str.contains(CANONICAL_INTEGER).all() for name in texts)
    valid = staged.frame.filter(_IS_VALID)
    return all(valid.select(check.alias(str(place)) for place, check in enumerate(whole)).collect().row(0))


def reject_repeated(staged: Staged) -> Staged:
    """Reject every row whose identifying columns stood in an earlier valid row; of cases, in a later file.

    Rows without the id are no repetition. Only hashes of the ids are held at once; the few rows whose hash
    repeats are then compared in full.
    """
    schema = staged.frame.collect_schema()
    keys = [name for name in staged.table.unique if name in schema]
    if staged.table.name == "identities" and any(name in schema for name in DATED):
        return staged  # a handle may change hands: a touch is held against the links of its day
    if not keys or len(keys) < len(staged.table.unique):
        return staged
    identified = staged.frame.filter(_IS_VALID, *(pl.col(name).is_not_null() for name in keys))
    hashed = identified.select(pl.struct(keys).hash().alias("hash"))
    suspects = hashed.group_by("hash").len().filter(pl.col("len") > 1).select("hash").collect()
    named = " + ".join(keys)
    files = sum(len(part.scanned.file_names) for part in staged.parts)
    later_wins = staged.table.name == "cases" and files > 1
    delivered_twice = staged.table.name == "posts" or later_wins
    kept = "The row of the latest file is kept." if later_wins else "The first row of each is kept."
    rule = Rule(
        name=REPEATED.format(named),
        broken=pl.lit(False),
        says=f"repeat the {named} of {'another' if later_wins else 'an earlier'} row",
        expected=kept,
        sets_aside=delivered_twice,
    )
    if suspects.is_empty():
        return staged.with_frame(staged.frame, rule)
    rows = (
        identified.select(ROW, *keys)
        .filter(pl.struct(keys).hash().is_in(suspects["hash"].implode()))
        .collect()
        # Open and solved cases are two files at most desks: what the later one says is newer.
        .sort((pl.col(ROW) // FILE_STEP) * (-1 if later_wins else 1), ROW)
        .filter(~pl.struct(keys).is_first_distinct())
    )
    if staged.table.name == "cases" and not later_wins:
        identifiable = identified.select(pl.len()).collect().item()
        if rows.height > A_LOG * identifiable:
            rule = replace(rule, expected=f"{kept} {_OF_A_LOG}")
    repeated = _IS_VALID & pl.col(ROW).is_in(rows[ROW].implode())
    judged = pl.when(repeated).then(pl.lit(rule.name)).otherwise(pl.col(RULE)).alias(RULE)
    return staged.with_frame(staged.frame.with_columns(judged), rule)


def reject_overlapping(costs: Staged) -> Staged:
    """Reject every row of costs whose period overlaps that of an earlier valid row of the same thing."""
    keys = [name for name in ("channel", "brand", "item") if name in costs.columns]
    periods = costs.frame.filter(_IS_VALID).select(ROW, *keys, "period_start", "period_end").collect()
    kept: dict[tuple[object, ...], list[tuple[date, date]]] = {}
    broken = []
    for row, *named, start, end in periods.sort(ROW).iter_rows():
        before = kept.setdefault(tuple(named), [])
        place = bisect(before, (start, end))
        near = before[max(place - 1, 0) : place + 1]  # what is kept does not overlap: only neighbours can
        if any(start <= last and first <= end for first, last in near):
            broken.append(row)
        else:
            before.insert(place, (start, end))
    return costs.with_rule(
        Rule(
            name=OVERLAP,
            broken=pl.col(ROW).is_in(broken),
            says=f"overlap an earlier row of the same {_listed(keys)}",
            expected="Their cost would count twice: let periods follow each other, add the amounts up, or "
            "tell rows apart by item or brand.",
        )
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def count_equal_rows(staged: Staged) -> int:
    """Valid rows that are equal in every column to an earlier one."""
    names = [name for name in staged.frame.collect_schema() if name not in {ROW, RULE}]
    hashed = staged.frame.filter(_IS_VALID).select(pl.struct(names).hash().alias("hash"))
    counted = hashed.select(pl.len(), pl.col("hash").n_unique().alias("distinct")).collect().row(0)
    return int(counted[0] - counted[1])


def set_aside_doubtful(identities: Staged, min_probability: float) -> Staged:
    """Set aside links that are not certain enough, and every link of a handle that several customers have.

    A repeated handle is a mistake where it names the same customer twice; where it names another, nobody
    knows whose it is.
    """
    if "probability" in identities.columns:
        identities = identities.with_rule(
            Rule(
                name="uncertain link",
                broken=(pl.col("probability") < min_probability).fill_null(False),
                says=f"have a probability below {min_probability:g}",
                expected="Set identity.min_probability to take more or fewer.",
                shows="probability",
                sets_aside=True,
            )
        )
    if any(name in identities.columns for name in DATED):
        return identities
    told = [name for part in identities.parts for name in part.unread if re.search(SINCE_WHEN, name)]
    if told:
        identities = identities.with_notes(
            f'{identities.place}: column "{told[0]}" seems to say when a handle was whose, and nothing reads '
            "it: contacts of all times are its customer's. Name it as valid_from or valid_to in "
            "inputs.identities.columns."
        )
    repeated = REPEATED.format(" + ".join(identities.table.unique))
    said = _IS_VALID | (pl.col(RULE) == repeated).fill_null(False)
    keys = {
        "key_platform": normal_platform(),
        "key_handle": normal_handle(pl.col("handle")),
    }
    several = (
        identities.frame.filter(said)
        .group_by([expression.alias(name) for name, expression in keys.items()])
        .agg((pl.col("customer_id").n_unique() > 1).alias("has_several"))
    )
    frame = (
        identities.frame.with_columns(**keys)
        .join(several, on=list(keys), how="left", maintain_order="left")
        .with_columns(
            pl.when(said & pl.col("has_several").fill_null(False))
            .then(pl.lit(AMBIGUOUS))
            .otherwise(pl.col(RULE))
            .alias(RULE)
        )
        .drop(*keys, "has_several")
    )
    rule = Rule(
        name=AMBIGUOUS,
        broken=pl.lit(False),
        says="give a handle to a customer that another row gives to another one",
        expected="Upper and lower case and a leading @ make no difference. If it changed hands, say when: "
        "valid_from and valid_to.",
        sets_aside=True,
    )
    return identities.with_frame(frame, rule)


def with_international_numbers(staged: Staged, country: str) -> Staged:
    """The same rows with phone numbers of the country's own form in the international one."""
    if not {"platform", "handle"} <= staged.columns:
        return staged
    return staged.with_frame(staged.frame.with_columns(international_handle(country).alias("handle")))


def resolve_handles(touches: Staged, identities: Staged | None) -> Staged:
    """Give each touch the customer of its handle; set aside those whose handle none or several have."""
    unmatched = Rule(
        name="unmatched handle",
        broken=pl.col("customer_id").is_null(),
        says="have a handle that is in no identity",
        sets_aside=True,
    )
    if identities is None:
        return touches.with_rule(unmatched)
    ambiguous = Rule(
        name="ambiguous handle",
        broken=pl.col("is_ambiguous"),
        says="have a handle that identities give to several customers",
        expected="Correct identities, where upper and lower case and a leading @ make no difference; of "
        "handles that changed hands, give valid_from and valid_to, the days on which they were whose.",
        sets_aside=True,
    )
    said = _IS_VALID | (pl.col(RULE) == AMBIGUOUS)
    judged = touches.with_frame(customers_of_handles(touches.frame, identities.frame.filter(said)))
    judged = judged.with_rule(ambiguous).with_rule(unmatched)
    return judged.with_frame(judged.frame.drop("is_ambiguous"))


def set_aside_further_lines(staged: Staged) -> Staged:
    """Set aside lines without an amount of an order whose amount stands on another line.

    Shops write the total of an order on its first line only; the others are no mistake. Where it stands on
    each line (``amounts = "order"``) those after the first are set aside.
    """
    if staged.table.name != "transactions":
        return staged
    staged = _once_an_order(staged)
    if not {"order_id", "amount"} <= staged.columns:
        return staged
    missing = pl.col(RULE) == "missing amount"
    if not staged.frame.select(missing.any()).collect().item():
        return staged
    known = staged.frame.filter(_IS_VALID).select("order_id").drop_nulls().unique().collect()["order_id"]
    rule = Rule(
        name="further line of an order",
        broken=pl.lit(False),
        says="have no amount of their own, but their order has one on another line",
        sets_aside=True,
    )
    judged = (
        pl.when(missing & pl.col("order_id").is_in(known.implode())).then(pl.lit(rule.name)).otherwise(RULE)
    )
    return staged.with_frame(staged.frame.with_columns(judged.alias(RULE)), rule)


def _once_an_order(staged: Staged) -> Staged:
    files = [number for part in staged.parts if part.source.amounts == "order" for number in part.files]
    if not files:
        return staged
    if "order_id" not in staged.columns:
        raise ConfigError(f'{staged.place}: amounts = "order" needs order_id, which no column is.')
    of_them = _IS_VALID & (pl.col(ROW) // FILE_STEP).is_in(files) & pl.col("order_id").is_not_null()
    first = pl.col(ROW).filter(of_them).min().over("customer_id", "order_id", "amount")
    return staged.with_rule(
        Rule(
            name="further line of an order with its amount",
            broken=of_them & (pl.col(ROW) > first),
            says="have the amount of their order, which stands on an earlier line",
            sets_aside=True,
        )
    )


def reject_unknown_customers(staged: Staged, customers: Staged) -> Staged:
    """Reject rows of a customer who is not in the customers table."""
    known = (
        customers.frame.filter(_IS_VALID)
        .select("customer_id")
        .unique()
        .with_columns(pl.lit(True).alias("is_known"))
    )
    rule = Rule(
        name="unknown customer",
        broken=pl.col("is_known").is_null() & pl.col("customer_id").is_not_null(),
        says="belong to customers who are not in the customers table",
        expected="Add them to it, or leave inputs.customers out to keep their touches as those of prospects.",
    )
    judged = staged.with_frame(staged.frame.join(known, on="customer_id", how="left")).with_rule(rule)
    return judged.with_frame(judged.frame.drop("is_known"))
