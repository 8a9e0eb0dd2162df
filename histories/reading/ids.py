"""Ids as programs have changed them: with decimals, rounded by a spreadsheet, in other letter cases."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from histories.reading.rules import Rule
from histories.reading.schemas import Kind
from histories.reading.staging import RULE, Staged

__all__ = ["differing_by_case", "mend_decimal_ids", "reject_rounded_ids"]

WHOLE = r"^-?\d+(?:\.0+)?$"
ROUNDED = r"^\d(?:[.,]\d+)?[eE]\+\d{1,2}$"
"""As a spreadsheet shows a long number: 4.00638E+12."""


def mend_decimal_ids(staged: Staged) -> Staged:
    """Read `7.0` as 7 in an id column of text in which every value is a whole number.

    Some program between the source and the file has taken the ids for decimals; zeros in front stay.
    """
    names = _text_ids(staged)
    flagged = _flags(staged.frame, {name: pl.col(name).str.ends_with(".0").any() for name in names})
    whole = _flags(
        staged.frame,
        {name: (pl.col(name).str.contains(WHOLE) | pl.col(name).is_null()).all() for name in flagged},
    )
    if not whole:
        return staged
    mended = staged.frame.with_columns(pl.col(name).str.replace(r"\.0+$", "") for name in whole)
    return staged.with_frame(mended)


def reject_rounded_ids(staged: Staged) -> Staged:
    """Reject rows whose id a spreadsheet has shortened: several customers may share what is left of it."""
    for name in _flags(
        staged.frame,
        {name: pl.col(name).str.contains("E+", literal=True).any() for name in _text_ids(staged)},
    ):
        staged = staged.with_rule(
            Rule(
                name=f"{name} in scientific notation",
                broken=pl.col(name).str.contains(ROUNDED),
                says=f"have a {name} in scientific notation, as a spreadsheet shortens long numbers",
                expected="Several may share one: export again, with the column as text.",
            )
        )
    return staged


def differing_by_case(tables: Mapping[str, Staged]) -> tuple[str, ...]:
    """A note of customers' ids that are equal but for upper and lower case."""
    columns = [
        staged.frame.filter(pl.col(RULE).is_null()).select(pl.col(name).alias("id"))
        for staged in tables.values()
        for name in staged.table.customers
        if staged.frame.collect_schema().get(name) == pl.String
    ]
    if not columns:
        return ()
    ids = pl.concat(columns).drop_nulls().unique()
    lowered = pl.col("id").str.to_lowercase().n_unique()
    written, distinct = ids.select(pl.len(), lowered.alias("distinct")).collect().row(0)
    if written == distinct:
        return ()
    places = ", ".join(dict.fromkeys(staged.place for staged in tables.values() if staged.table.customers))
    return (
        f"{places}: customer ids that differ from another by letter case alone: {written - distinct}. "
        "They are kept apart; have them written in one way where they are the same people.",
    )


def _text_ids(staged: Staged) -> list[str]:
    schema = staged.frame.collect_schema()
    ids = [name for name, column in staged.table.columns.items() if column.kind is Kind.ID]
    return [name for name in ids if schema.get(name) == pl.String]


def _flags(frame: pl.LazyFrame, questions: Mapping[str, pl.Expr]) -> list[str]:
    """Names whose question is answered with yes."""
    if not questions:
        return []
    asked = frame.select(question.alias(name) for name, question in questions.items())
    return [name for name, answer in asked.collect().row(0, named=True).items() if answer]
