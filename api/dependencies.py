"""What routes need, each made in one place; a route's signature reads as a sentence."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Request

from api.problems import PROBLEMS
from api.responses import ProblemDocument
from api.served import Served, served_of
from experiments.bundle.columns import LONGEST_ID

__all__ = ["CustomerId", "ServedDep", "refusals"]


async def _served(request: Request) -> Served:
    return served_of(request.scope)


ServedDep = Annotated[Served, Depends(_served)]

CustomerId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=LONGEST_ID,
        description="Customer id; an integer id as its decimal.",
        examples=["17"],
    ),
]


def refusals(*names: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of the problems that a route may answer, besides those of every route."""
    common = ("no-key", "missing-scope", "url-too-long", "invalid-request", "too-many-requests", "not-ready")
    described: dict[int | str, dict[str, Any]] = {}
    for name in (*common, *names):
        status, title = PROBLEMS[name]
        entry = described.setdefault(
            status,
            {"description": title, "content": {"application/problem+json": {"schema": _SCHEMA}}},
        )
        if title not in entry["description"]:
            entry["description"] += f"; {title}"
    return described


_SCHEMA = ProblemDocument.model_json_schema()
