"""Request bodies: bounded in size and time, decoded into strict types."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.requests import ClientDisconnect, Request

from api.problems import Problem
from api.replies import ARROW, JSON
from api.settings import Settings
from api.streams import DamagedStreamError, StreamError, rows_of_stream
from clv.tables import CUSTOMERS_SCHEMA
from experiments.bundle.columns import LONGEST_ID

MOST_ROWS: Final = 10_000

if TYPE_CHECKING:
    Field = str
else:
    Field = Literal[tuple(CUSTOMERS_SCHEMA)]
"""Columns of the customers table."""

Id = Annotated[str, Meta(min_length=1, max_length=LONGEST_ID, description="Customer id, as text.")]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Time = Annotated[float, Meta(ge=0, le=1_000_000)]
Money = Annotated[float, Meta(ge=0, le=1e12)]


class BatchBody(Struct, forbid_unknown_fields=True, frozen=True):
    """Which customers, and which of their columns."""

    ids: Annotated[
        list[Id],
        Meta(
            min_length=1,
            max_length=MOST_ROWS,
            description="Customer ids; an integer id as its decimal.",
            examples=[["17", "23"]],
        ),
    ]
    fields: (
        Annotated[
            list[Field],
            Meta(
                max_length=64,
                description="Columns to answer; all when absent.",
                examples=[["customer_lifetime_value"]],
            ),
        ]
        | None
    ) = None


class Bought(Struct, forbid_unknown_fields=True, frozen=True):
    """An order of a customer who need not be stored."""

    date: Annotated[dt.date, Meta(description="Its day.", examples=["2026-01-15"])]
    amount: Annotated[Money, Meta(description="What was paid, in currency.", examples=[24.9])]


class PredictBody(Struct, forbid_unknown_fields=True, frozen=True):
    """Purchase summaries of customers who need not be stored; one entry of each list per customer."""

    frequency: Annotated[
        list[Count],
        Meta(min_length=1, max_length=MOST_ROWS, description="Repeat purchases.", examples=[[2, 0]]),
    ]
    recency: Annotated[
        list[Time],
        Meta(
            min_length=1,
            max_length=MOST_ROWS,
            description="First to last purchase, in the model's time unit.",
            examples=[[30.4, 0.0]],
        ),
    ]
    T: Annotated[
        list[Time],
        Meta(
            min_length=1,
            max_length=MOST_ROWS,
            description="First purchase to now, in the model's time unit.",
            examples=[[38.9, 12.0]],
        ),
    ]
    monetary_value: (
        Annotated[
            list[Money | None],
            Meta(
                max_length=MOST_ROWS,
                description="Mean value of repeat purchases, in currency; null at frequency 0.",
                examples=[[22.4, None]],
            ),
        ]
        | None
    ) = None
    horizon_months: (
        Annotated[int, Meta(ge=1, le=120, description="Months ahead; the run's when absent.")] | None
    ) = None
    purchases: (
        Annotated[
            list[Annotated[list[Bought], Meta(max_length=MOST_ROWS)]],
            Meta(
                max_length=MOST_ROWS,
                description="All orders of each customer up to `as_of`: with them the whole forecast is "
                "asked, as in the run. The summary must be theirs.",
                examples=[[[{"date": "2026-01-15", "amount": 24.9}], []]],
            ),
        ]
        | None
    ) = None
    as_of: (
        Annotated[dt.date, Meta(description="The day that the summaries are of; the run's when absent.")]
        | None
    ) = None


class StaffingBody(Struct, forbid_unknown_fields=True, frozen=True):
    """What is to be staffed: one interval of customers who hold the line, or a day of work that can wait."""

    contacts: (
        Annotated[
            float,
            Meta(gt=0, le=100_000, description="Contacts that arrive in the interval.", examples=[100]),
        ]
        | None
    ) = None
    arrivals: (
        Annotated[
            list[Annotated[float, Meta(ge=0, le=100_000)]],
            Meta(
                min_length=1,
                max_length=48,
                description="Instead of contacts: those of each open hour, with promise_minutes.",
            ),
        ]
        | None
    ) = None
    promise_minutes: (
        Annotated[
            float, Meta(ge=0, le=10_080, description="Longest wait that is promised for work that can wait.")
        ]
        | None
    ) = None
    interval_minutes: Annotated[
        float, Meta(ge=1, le=1440, description="Length of the interval, in minutes.")
    ] = 30.0
    handling_seconds: Annotated[
        float, Meta(ge=1, le=86_400, description="Mean work per contact, in seconds.")
    ] = 180.0
    target_share: Annotated[float, Meta(gt=0, lt=1, description="Share to be answered in time.")] = 0.8
    target_seconds: Annotated[
        float, Meta(ge=0, le=86_400, description="In time means within this, in seconds.")
    ] = 20.0
    shrinkage: (
        Annotated[float, Meta(ge=0, lt=0.95, description="Share of paid time away from contacts.")]
        | Annotated[
            dict[str, Annotated[float, Meta(ge=0, lt=0.95)]],
            Meta(max_length=32, description="The same by item."),
        ]
    ) = 0.3
    combine: Literal["add", "sequential"] = "add"
    concurrency: Annotated[
        float, Meta(ge=1, le=20, description="Contacts that one agent handles at once (chat).")
    ] = 1.0
    patience_seconds: (
        Annotated[float, Meta(ge=1, le=86_400, description="Mean patience; Erlang A instead of C.")] | None
    ) = None


class WhatIfBody(Struct, forbid_unknown_fields=True, frozen=True):
    """How many more customers are to be answered in time."""

    promise: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=200,
                description="A promise of the run; its first when absent.",
                examples=["within the hour"],
            ),
        ]
        | None
    ) = None
    share: (
        Annotated[
            float,
            Meta(ge=0, le=1, description="Share answered in time; the highest observed when absent."),
        ]
        | None
    ) = None
    cost_per_hour: (
        Annotated[
            float,
            Meta(ge=0, le=1e6, description="Of an agent; the run's assumption when absent.", examples=[25]),
        ]
        | None
    ) = None


_Body = TypeVar("_Body", bound=Struct)


async def decode_body(request: Request, kind: type[_Body]) -> _Body:
    """Read a JSON body of one kind.

    Raises
    ------
    Problem
        When it is no JSON, too large, too slow, or not of the right form.
    """
    _check_type(request, JSON)
    found: _Body = _decoded(await _checked_body(request), kind)
    return found


async def decode_rows(request: Request, kind: type[_Body], *, most: int) -> list[_Body]:
    """Read one row, a list of rows in JSON, or an Arrow stream of them.

    Raises
    ------
    Problem
        When it is none of these, too large, too slow, of another form, or has more rows than `most`.
    """
    form = _check_type(request, JSON, ARROW)
    data = await _checked_body(request)
    if form == ARROW:
        rows = _from_arrow(data, kind, most)
    else:
        found = _decoded(data, kind | list[kind])  # type: ignore[valid-type]
        rows = found if isinstance(found, list) else [found]
    if not 0 < len(rows) <= most:
        raise Problem(
            name="invalid-request",
            detail=f"Send 1 to {most} rows in one request.",
            errors=[{"at": "$", "detail": f"{len(rows)} rows"}],
        )
    return rows


def _from_arrow(data: bytes, kind: type[_Body], most: int) -> list[_Body]:
    """Rows of an Arrow stream, checked as those of JSON are."""
    try:
        found = rows_of_stream(data, most=most)
    except StreamError as error:
        name = "bad-request" if isinstance(error, DamagedStreamError) else "invalid-request"
        raise Problem(name=name, detail=f"The stream is not taken. {error}") from error
    rows: list[_Body] = _converted(found, list[kind])  # type: ignore[valid-type]
    return rows


def _check_type(request: Request, *allowed: str) -> str:
    """The body's media type, which must be one of these."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in allowed:
        raise Problem(
            name="unsupported-media-type",
            detail=f"Send the body as {' or '.join(allowed)}.",
            headers={"accept": ", ".join(allowed)},
        )
    return content_type


async def _checked_body(request: Request) -> bytes:
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Problem(
            name="unsupported-media-type",
            detail="Send the body as it is, without a Content-Encoding.",
            headers={"accept-encoding": "identity"},
        )
    settings: Settings = request.app.state.settings
    return await _read(request, settings)


def _decoded(data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise _of_other_form(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem(name="bad-request", detail="The body is not valid JSON in UTF-8.") from None


def _converted(rows: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(rows, kind)
    except msgspec.ValidationError as error:
        raise _of_other_form(error) from None


def _of_other_form(error: msgspec.ValidationError) -> Problem:
    message, _, place = str(error).partition(" - at ")
    return Problem(
        name="invalid-request",
        detail="The body does not have the right form; see errors.",
        errors=[{"at": place.strip("`") or "$", "detail": message}],
    )


async def _read(request: Request, settings: Settings) -> bytes:
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(settings.body_timeout):
            async for chunk in request.stream():
                size += len(chunk)
                if size > settings.max_body:
                    raise Problem(name="too-large", detail=f"The body may have {settings.max_body} bytes.")
                chunks.append(chunk)
    except TimeoutError:
        raise Problem(
            name="slow-request",
            detail=f"The body must arrive within {settings.body_timeout:g} seconds.",
            headers={"connection": "close"},
        ) from None
    except ClientDisconnect:
        raise Problem(name="bad-request", detail="The connection closed within the body.") from None
    return b"".join(chunks)


def schema_of(kind: type[Struct], *, several: int | None = None) -> dict[str, Any]:
    """OpenAPI's description of a JSON body of this kind, or of a list of up to `several` of them."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template="{name}")
    body = _inlined(components[str(schema["$ref"])], components)
    if several is not None:
        rows = {"type": "array", "items": body, "minItems": 1, "maxItems": several}
        body = {"title": kind.__name__, "anyOf": [body, rows]}
    return {"required": True, "content": {"application/json": {"schema": body}}}


def _inlined(schema: Any, components: dict[str, Any]) -> Any:
    """A schema with the parts that it refers to put in their places."""
    if isinstance(schema, list):
        return [_inlined(part, components) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(components[str(schema["$ref"])], components)
    return {key: _inlined(part, components) for key, part in schema.items()}
