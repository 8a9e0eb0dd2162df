"""What routes need, each made in one place; a route's signature reads as a sentence."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import orjson
from fastapi import Depends, Path, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.problems import PROBLEMS, Problem, problem_body
from api.responses import ProblemDocument
from api.served import Served, served_of
from experiments.bundle.columns import LONGEST_ID
from histories.errors import nearest


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


async def meant(request: Request) -> None:
    """Refuse what nobody means.

    A query parameter that the route does not know, or that is given twice; to erase what is below a customer:
    an id with a slash is written `a%2Fb`.
    """
    if request.method == "DELETE" and b"/" in request.scope["raw_path"].removeprefix(b"/v1/customers/"):
        raise Problem(
            name="method-not-allowed",
            detail="Customers are erased whole. An id with a slash is written a%2Fb.",
            headers={"allow": "GET"},
        )
    if not request.scope["query_string"]:
        return
    allowed = _query_names(request.scope["route"])
    errors = []
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in allowed:
            hint = nearest(name, allowed) if allowed else "this address takes none"
            errors.append({"at": f"query.{name[:128]}", "detail": f"There is no such parameter; {hint}"})
        elif times > 1:
            errors.append({"at": f"query.{name}", "detail": f"Given {times} times; give it once."})
    if errors:
        raise Problem(name="invalid-request", detail="The query is not right; see errors.", errors=errors)


def _query_names(route: APIRoute) -> frozenset[str]:
    """The query parameters of a route, those of its dependencies and query models included."""
    names: set[str] = set()
    dependants = [route.dependant]
    while dependants:
        dependant = dependants.pop()
        dependants += dependant.dependencies
        for field in dependant.query_params:
            model = field.field_info.annotation
            if isinstance(model, type) and issubclass(model, BaseModel):
                names |= set(model.model_fields)
            else:
                names.add(field.alias)
    return frozenset(names)


def refusals(*names: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of the problems that a route may answer, besides those of every route."""
    common = ("no-key", "missing-scope", "url-too-long", "invalid-request", "too-many-requests", "not-ready")
    described: dict[int | str, dict[str, Any]] = {}
    for name in (*common, *names):
        status, title = PROBLEMS[name]
        content = {"schema": _SCHEMA, "examples": {}}
        entry = described.setdefault(
            status, {"description": title, "content": {"application/problem+json": content}}
        )
        entry["content"]["application/problem+json"]["examples"][name] = {"value": _problem_example(name)}
        if title not in entry["description"]:
            entry["description"] += f"; {title}"
    return described


def _problem_example(name: str) -> dict[str, Any]:
    """A problem document of this kind."""
    detail = "What was found, and what to do next."
    document: dict[str, Any] = orjson.loads(problem_body(name, detail, request_id="5d1f0c9a2b7e4c83"))
    return document


_SCHEMA = {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}
