"""The small tables of a bundle: a route for each one that says so in `TABLES`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Query, Request
from pydantic import Field, create_model
from starlette.responses import Response

from api.dependencies import ServedDep, refusals
from api.replies import cached_reply
from api.responses import ROWS
from api.served import Served
from experiments.bundle.tables import TABLES, BundleTable

router = APIRouter(prefix="/v1")


def _add_route(name: str, table: BundleTable) -> None:
    """Answer with rows of one table whose columns equal the filters that were given."""
    fields: dict[str, Any] = {
        column: (
            str | None,
            Field(default=None, max_length=128, examples=[table.examples[column]])
            if column in table.examples
            else Field(default=None, max_length=128),
        )
        for column in table.filters
    }
    question = create_model(f"{name}_query", **fields)

    async def get(request: Request, served: ServedDep, query: Any) -> Response:
        return await _rows(request, served, name, query.model_dump(exclude_none=True))

    get.__annotations__["query"] = Annotated[question, Query()]
    place, _, last = table.route.rpartition("/")
    router.get(
        f"/{table.route}",
        name=f"get_{last}",
        description=table.words,
        response_model=ROWS[name],
        tags=[place or last],
        responses=refusals(),
    )(get)


async def _rows(request: Request, served: Served, name: str, wanted: Mapping[str, str]) -> Response:
    def render() -> dict[str, Any]:
        frame = served.tables[name]
        if wanted:
            frame = frame.filter(*(pl.col(column) == value for column, value in wanted.items()))
        return {**served.context, "interval_level": _level(served, name), "rows": frame.to_dicts()}

    body = await asyncio.to_thread(served.rendered, (name, tuple(wanted.items())), render)
    return cached_reply(request.scope, served, body)


def _level(served: Served, name: str) -> float | None:
    """Probability inside the intervals of a table; None where each row has its own."""
    table = TABLES[name]
    if "interval_level" in served.tables[name].columns:
        return None
    if table.interval_level is not None:
        return table.interval_level
    configuration = served.bundle.manifest.get("configuration", {})
    level: float | None = (
        configuration.get(table.interval_of, {}).get("interval")
        if table.interval_of
        else served.context["interval_level"]
    )
    return level


for _name, _table in TABLES.items():
    if _table.route:
        _add_route(_name, _table)
