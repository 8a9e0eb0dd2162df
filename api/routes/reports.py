"""The report, and the card of the model behind the scores."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.dependencies import ServedDep, refusals
from api.problems import Problem
from api.replies import JSON, cached_reply, negotiate
from api.responses import ModelCard

router = APIRouter(prefix="/v1")

REPORTS: Final = {"text/html": "report.html", "application/pdf": "report.pdf", JSON: "report.json"}

LIMITS: Final = (
    "Intervals cover sampling error, never confounding.",
    "Descriptive credit says which contacts were there, not what they did.",
    "An individual's score is an expectation; decisions belong to groups of customers.",
    "Scores describe the day as_of; they do not follow what happened since.",
)


@router.get(
    "/reports/latest",
    response_model=None,
    tags=["reports"],
    responses={
        **refusals("busy", "no-report", "not-acceptable"),
        200: {
            "description": "The report.",
            "content": {
                "text/html": {"schema": {"type": "string"}},
                "application/pdf": {"schema": {"type": "string", "format": "binary"}},
                JSON: {"schema": {"type": "object"}},
            },
        },
    },
)
async def get_report(request: Request, served: ServedDep) -> Response:
    """The run's report as HTML, PDF or JSON, by `Accept`."""
    media_type = negotiate(request.headers.get("accept"), REPORTS)
    if await asyncio.to_thread(lambda: served.quotes_hidden):
        raise Problem(
            name="busy",
            detail="The report is drawn again without the words of a customer who was erased. Come back.",
            headers={"retry-after": "10"},
        )
    body = served.files.get(REPORTS[media_type])
    if body is None:
        raise Problem(name="no-report", detail=f"The run made no report as {media_type}.")
    text = f"{media_type}; charset=utf-8" if media_type == "text/html" else media_type
    variant = media_type.rpartition("/")[2]
    return cached_reply(request.scope, served, body, media_type=text.encode(), variant=variant)


@router.get("/model", response_model=ModelCard, tags=["model"], responses=refusals())
async def get_model(request: Request, served: ServedDep) -> Response:
    """The model card: data span, parameters, validation, drift, limits."""

    def render() -> dict[str, Any]:
        manifest = served.bundle.manifest
        data = {key: manifest[key] for key in ("inputs", "span", "code_version", "tables") if key in manifest}
        return {
            **served.context,
            "run_id": manifest["run_id"],
            "customers": len(served.store),
            "data": data,
            "drift": manifest["drift"],
            "model": served.bundle.model,
            "validation": served.tables["validation"].to_dicts(),
            "left_out": manifest["left_out"],
            "limits": LIMITS,
        }

    return cached_reply(request.scope, served, await asyncio.to_thread(served.rendered, "model", render))
