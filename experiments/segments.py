"""Segments that the configuration names: filters over customers, counted by a run and asked for by name.

::

    [[segments]]
    name = "worth winning back"
    filter = 'and(gt(churn_probability, .5), gt(customer_lifetime_value, 100))'
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import polars as pl
from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from experiments.consents import consent_column
from experiments.filters import (
    Combination,
    Comparison,
    Filter,
    FilterError,
    Sample,
    bind_filter,
    filter_expression,
    parse_filter,
)
from histories.errors import ConfigError, nearest


def _parses(text: str) -> str:
    try:
        parse_filter(text)
    except FilterError as error:
        raise ValueError(str(error)) from error
    return text


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Segment:
    """Customers who are spoken of together.

    Attributes
    ----------
    name
        How links, counts and the report call it.
    filter
        Who belongs, in the language of `experiments.filters`.
    description
        What it is for, in words.
    purpose
        What the company means to do with them, such as "marketing": only customers whose latest entry in
        `inputs.consents` gives consent to it belong, and the others are counted.
    """

    name: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,100}$")]
    filter: Annotated[str, AfterValidator(_parses)]
    description: Annotated[str, Field(max_length=1000)] = ""
    purpose: Annotated[str, Field(pattern=r"\w", max_length=60)] | None = None


def unique_names(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """The same segments, unless two have one name.

    Raises
    ------
    ConfigError
        Naming the name that is used twice.
    """
    names = [segment.name for segment in segments]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f'segments: two are called "{twice[0]}". Give each a name of its own.')
    return segments


def named_filters(segments: Sequence[Mapping[str, Any]]) -> dict[str, Filter]:
    """Parsed filters by name, from what a manifest's configuration says."""
    return {
        str(segment["name"]): consenting(parse_filter(str(segment["filter"])), segment.get("purpose"))
        for segment in segments
    }


def consenting(found: Filter, purpose: str | None) -> Filter:
    """Of whom a filter keeps, those with consent to a purpose; without a purpose all of them."""
    if purpose is None:
        return found
    return Combination(operator="and", parts=(found, consents_to(purpose)))


def consents_to(purpose: str, known: Collection[str] | None = None) -> Comparison:
    """Who consents to a purpose, as a filter.

    Raises
    ------
    FilterError
        When `known` are the columns of customers and none is of this purpose: nobody was asked.
    """
    column = consent_column(purpose)
    if known is not None and column not in known:
        asked = [name.removeprefix("consent_") for name in known if name.startswith("consent_")]
        hint = nearest(column.removeprefix("consent_"), asked) if asked else "the run has no consents at all."
        raise FilterError(f'nobody was asked for consent to "{purpose}"; {hint}')
    return Comparison(operator="eq", column=column, values=(True,), at=1)


def count_segments(
    segments: Sequence[Segment], customers: pl.DataFrame, profiles: pl.DataFrame | None
) -> list[dict[str, Any]]:
    """One entry per segment: name, filter, description, purpose, and what is counted.

    Counted are `customers`, their `share` of all, `customer_lifetime_value`, and `without_consent`: whom the
    filter keeps and the purpose does not.

    Raises
    ------
    FilterError
        When a filter names a column that customers do not have, or compares it with another type.
    """
    frame = customers
    if profiles is not None:
        frame = customers.join(profiles, on="customer_id", how="left", maintain_order="left")
    named = named_filters([asdict(segment) for segment in segments])
    columns = {name: dtype for name, dtype in frame.schema.items() if name != "customer_id"}
    found = []
    for segment in segments:
        inside = kept(frame, bind_filter(named[segment.name], columns, named))
        everybody = inside
        if segment.purpose is not None:
            everybody = kept(frame, bind_filter(parse_filter(segment.filter), columns, named))
        found.append(
            {
                "name": segment.name,
                "filter": segment.filter,
                "description": segment.description,
                "purpose": segment.purpose,
                "without_consent": everybody.height - inside.height,
                "customers": inside.height,
                "share": inside.height / frame.height if frame.height else None,
                "customer_lifetime_value": float(inside["customer_lifetime_value"].sum()),
            }
        )
    return found


def kept(frame: pl.DataFrame, bound: Filter) -> pl.DataFrame:
    """The customers whom a bound filter keeps."""
    from experiments.sampling import sample_ids  # who reads a configuration needs no numpy

    samples = {
        sample: pl.lit(pl.Series(sample_ids(frame["customer_id"], sample.name) < sample.share))
        for sample in _samples(bound)
    }
    return frame.filter(filter_expression(bound, samples))


def _samples(bound: Filter) -> Iterator[Sample]:
    if isinstance(bound, Sample):
        yield bound
    elif isinstance(bound, Combination):
        for part in bound.parts:
            yield from _samples(part)
