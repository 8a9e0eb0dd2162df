"""Where customers say they heard of the company, beside credit; and how their answers were read."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from care.declared import declared_table, read_declared
from experiments.parts.histories import Histories
from experiments.parts.part import Part

_SHOWN = 3


def declared_part(histories: Histories, credits: pl.DataFrame | None, groups: Mapping[str, str]) -> Part:
    """The table `declared`, where a customer has a `declared_source`, and notes."""
    people = histories.customers
    if people is None or "declared_source" not in people.columns or not people["declared_source"].count():
        return Part()
    touched = (
        [] if credits is None else credits.filter(pl.col("level") == "channel")["channel"].unique().to_list()
    )
    names = [*dict.fromkeys([*groups, *touched, *groups.values()])]
    found = read_declared(people, names)
    if found.named.is_empty():
        return Part()
    answered = found.named["customer_id"].n_unique()
    notes = [
        f"declared sources: {answered:,} of {people.height:,} customers say how they heard of us: "
        "what is said, by those who say it."
    ]
    if found.slips:
        told = ", ".join(f'"{slip}" as "{name}"' for slip, name in sorted(found.slips.items())[:_SHOWN])
        notes.append(f"declared sources: names read as the nearest channel: {len(found.slips)} ({told}).")
    if found.others:
        notes.append(
            f"declared sources: {found.others:,} answers name no channel of the run "
            f'({", ".join(names[:8])}) and count as "other".'
        )
    return Part(tables={"declared": declared_table(found.named, credits, groups)}, notes=tuple(notes))
