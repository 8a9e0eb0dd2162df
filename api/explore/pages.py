"""The explorer's addresses: a page, or with `HX-Request` the fragment that changes in it.

A page holds no data where the service knows keys: it asks for one, keeps it in the tab's memory, and fetches
the fragment with it. Every choice stands in the address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from api.dependencies import CustomerId
from api.explore.assets import assets_digest
from api.explore.assets import router as assets
from api.explore.compare import compare_view
from api.explore.credit import Choice, credit_view
from api.explore.customer import customer_view
from api.explore.customers import customers_view
from api.explore.downloads import Other, Text
from api.explore.downloads import router as downloads
from api.explore.library import Shelf, shelf_of
from api.problems import Problem, unknown_customer
from api.replies import Reply
from api.served import Served, served_of
from api.settings import is_loopback
from reports.context import Block, Mark, Plot, Section
from reports.customer_drawings import Rectangle
from reports.drawing import draw_plot
from reports.html import environment
from reports.numbers import symbol
from reports.sections.service import service_section
from reports.sentences import outcome_word
from reports.words import label, upper_first

router = APIRouter(prefix="/explore", include_in_schema=False)
for part in (downloads, assets):
    router.include_router(part)

VIEWS: Final = ("credit", "customers", "evidence", "service", "compare", "report")
_POLICY: Final = (
    b"default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; object-src 'none'; "
    b"base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
_HEADERS: Final = [
    (b"content-security-policy", _POLICY),
    (b"referrer-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (b"vary", b"hx-request"),
]


def is_fragment(headers: Any) -> bool:
    """Whether a request asks for the part that changes, which holds data."""
    return any(name == b"hx-request" for name, _ in headers)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request for a view: where it is answered from, and whether data may go with the page."""

    request: Request
    view: str

    @property
    def fragment(self) -> bool:
        return is_fragment(self.request.scope["headers"])

    @property
    def open(self) -> bool:
        """Whether the page may hold data: no keys are known, and the reader is on this machine."""
        client = self.request.scope.get("client")
        local = client is None or not client[0][:1].isdigit() or is_loopback(client[0])
        return self.request.app.state.keys is None and local


async def _answer(
    request: Request, view: str, render: Callable[[Shelf, Served], Mapping[str, Any]], template: str
) -> Response:
    """The fragment, or the page around it."""
    asked = _Asked(request, view)
    keyed = request.app.state.keys is not None
    if not asked.fragment and not asked.open:
        return _html(_page(view, "", None, keyed=keyed))
    try:
        served = served_of(request.scope)
    except Problem:
        if asked.fragment:
            raise
        return _html(_page(view, _pane("empty_bundle.html.jinja"), None, keyed=keyed), status=503)

    def draw() -> str:
        shelf = shelf_of(served)
        values = {"view": view, "report": shelf.context, "query": _query(request), **_common(shelf, served)}
        return str(_templates().get_template(template).render(**values, **render(shelf, served)))

    body = await asyncio.to_thread(draw)
    if not asked.fragment:
        body = _page(view, body, served, keyed=keyed)
    return _html(body)


def _html(body: str, *, status: int = 200) -> Response:
    return Reply(body.encode(), media_type=b"text/html; charset=utf-8", status=status, headers=_HEADERS)


def _templates() -> Any:
    return environment("api.explore")


def _draw_bar(share: float, top: float) -> str:
    """A bar beside its figure."""
    return draw_plot(
        Plot(low=0.0, high=top or 1.0), (Mark(form="bar", value=share, start=0.0, tone="grey"),), height=18
    )


def _pane(name: str) -> str:
    return str(_templates().get_template(name).render())


def _page(view: str, body: str, served: Served | None, *, keyed: bool) -> str:
    return str(
        _templates()
        .get_template("page.html.jinja")
        .render(
            view=view,
            title=view.capitalize(),
            body=Markup(body),
            keyed=keyed,
            version=served.context["model_version"] if served is not None else "",
            assets=f"/explore/static/{assets_digest()}",
        )
    )


def _query(request: Request) -> Callable[..., str]:
    """The address of this view with some choices changed."""

    def changed(path: str, **choices: str | None) -> str:
        kept = dict(request.query_params) | choices
        text = urlencode({name: value for name, value in kept.items() if value not in (None, "")})
        return f"{path}?{text}" if text else path

    return changed


def _common(shelf: Shelf, served: Served) -> dict[str, Any]:
    return {
        "views": VIEWS,
        "model_version": served.context["model_version"],
        "before": symbol(shelf.sources.currency),
        "label": label,
        "draw_bar": lambda share, top: Markup(_draw_bar(share, top)),
    }


@router.get("")
async def start() -> Response:
    """The first view."""
    return RedirectResponse("/explore/credit", status_code=307)


@router.get("/credit")
async def credit(
    request: Request,
    outcome: Text = None,
    method: Text = None,
    segment: Text = None,
    period: Text = None,
    row: Text = None,
) -> Response:
    """What each channel added."""

    def render(shelf: Shelf, served: Served) -> Mapping[str, Any]:
        made = credit_view(shelf, outcome=outcome, method=method, segment=segment, period=period, row=row)
        return {"one": made}

    return await _answer(request, "credit", render, "credit.html.jinja")


@router.get("/customers")
async def customers(
    request: Request,
    gone_from: Text = None,
    gone_to: Text = None,
    worth: Text = None,
    segment: Text = None,
) -> Response:
    """All customers by value and risk, or those of a segment that the configuration names."""
    rectangle = _rectangle(gone_from, gone_to, worth)

    def render(shelf: Shelf, served: Served) -> Mapping[str, Any]:
        horizon = (
            "twelve months"
            if shelf.sources.horizon_months == 12
            else f"{shelf.sources.horizon_months} months"
        )
        names = tuple(served.segments)
        chosen = segment if segment in names else ""
        made = customers_view(
            shelf.customers_for(served, chosen),
            rectangle,
            currency=shelf.sources.currency,
            horizon=horizon,
            segment=chosen,
        )
        return {"one": made, "segments": names, "segment": chosen}

    return await _answer(request, "customers", render, "customers.html.jinja")


def _rectangle(gone_from: str | None, gone_to: str | None, worth: str | None) -> Rectangle | None:
    """The selection that the edges name, as they were typed; None without any."""
    first, last, least = (_amount(text) for text in (gone_from, gone_to, worth))
    if first is None and last is None and least is None:
        return None
    ends = (min(first or 0.0, 100.0) / 100, min(100.0 if last is None else last, 100.0) / 100)
    return Rectangle(low=min(ends), high=max(ends), worth=least or 0.0)


def _amount(text: str | None) -> float | None:
    """A number out of what was typed, with or without the currency."""
    digits = "".join(mark for mark in text or "" if mark.isdigit() or mark == ".")
    try:
        return float(digits) if digits else None
    except ValueError:
        return None


@router.get("/customer")
async def find(customer_id: Annotated[str, Query(min_length=1, max_length=255)]) -> Response:
    """From the field that asks for an id to that customer's page."""
    from urllib.parse import quote

    return RedirectResponse(f"/explore/customers/{quote(customer_id.strip(), safe='')}", status_code=307)


@router.get("/customers/{customer_id:path}")
async def customer(request: Request, customer_id: CustomerId) -> Response:
    """One customer."""

    def render(shelf: Shelf, served: Served) -> Mapping[str, Any]:
        made = customer_view(shelf, served, customer_id)
        if made is None:
            raise unknown_customer()
        return {"one": made}

    return await _answer(request, "customers", render, "customer.html.jinja")


_NO_EFFECTS: Final = {
    "title": "No effect was asked for",
    "heading": "This run holds no effects.",
    "said": Markup("Describe comparisons in <code>[[effects]]</code> and run again."),
}
_NO_CASES: Final = {
    "title": "This run counted no cases",
    "heading": "This run holds no service figures.",
    "said": Markup("Name a table of cases or posts in <code>[inputs]</code> and run again."),
}
_NO_OTHERS: Final = {
    "title": "There is no other run to compare with",
    "heading": "No other bundle lies beside the one being served.",
    "said": Markup("Run again into the same folder: <code>tributary run CONFIG</code>."),
}


@router.get("/evidence")
async def evidence(request: Request, outcome: Text = None) -> Response:
    """Every estimate, of one outcome or of all."""

    def render(shelf: Shelf, served: Served) -> Mapping[str, Any]:
        keys = ("proven", "evidence", "segments")
        found = [part for key in keys if (part := shelf.context.section(key)) is not None]
        outcomes = tuple(dict.fromkeys(effect.outcome for effect in shelf.effects))
        chosen = outcome if outcome and outcome in outcomes else ""
        parts = [_of_outcome(part, chosen) for part in found] if chosen else found
        parts = [part for part in parts if part.blocks]
        names = [("", "All outcomes"), *((name, upper_first(outcome_word(name))) for name in outcomes)]
        return _sections(
            parts, _NO_EFFECTS, ("outcome", "Outcome", "o"), names if len(names) > 2 else (), chosen
        )

    return await _answer(request, "evidence", render, "sections.html.jinja")


def _sections(
    parts: Sequence[Section],
    empty: Mapping[str, str],
    field: tuple[str, str, str],
    names: Sequence[tuple[str, str]],
    chosen: str,
) -> Mapping[str, Any]:
    """What the template of sections shows; `field` is its name, its title and its key of the keyboard."""
    choices = tuple(Choice(value=name, label=words, chosen=name == chosen) for name, words in names)
    made = dict(zip(("name", "title", "key"), field, strict=True))
    return {"parts": parts, "empty": empty, "field": made, "choices": choices}


def _of_outcome(part: Section, outcome: str) -> Section:
    """The section with the ledgers of one outcome; what is of no outcome stays."""
    word = outcome_word(outcome)

    def kept(block: Block) -> bool:
        title = getattr(block, "label", "")
        return title == f"Effect on {word}" or title.endswith(f", {word}") or "balance" in title.lower()

    return replace(part, blocks=tuple(block for block in part.blocks if kept(block)))


@router.get("/service")
async def service(request: Request, channel: Text = None) -> Response:
    """How good the service is, by channel."""

    def render(shelf: Shelf, served: Served) -> Mapping[str, Any]:
        care = shelf.sources.table("care")
        channels = () if care.is_empty() else tuple(sorted(set(care["channel"].drop_nulls().to_list())))
        chosen = channel if channel and channel in channels else ""
        first = service_section(shelf.sources, chosen or None)
        rest = [shelf.context.section(key) for key in ("service_detail", "voice")]
        parts = [part for part in (first, *rest) if part is not None]
        words = ((name, "All channels" if name == "(all)" else label(name)) for name in channels)
        names = [("", "As in the report"), *words]
        return _sections(
            parts, _NO_CASES, ("channel", "Channel", "s"), names if len(names) > 2 else (), chosen
        )

    return await _answer(request, "service", render, "sections.html.jinja")


@router.get("/compare")
async def compare(request: Request, other: Other = None) -> Response:
    """What moved against another run of the same folder, and whether by chance."""
    home = request.app.state.watcher.home

    def render(shelf: Shelf, served: Served) -> Mapping[str, Any]:
        made = compare_view(shelf, served, home, other=other)
        names = [(one.value, one.label) for one in made.others]
        chosen = next((one.value for one in made.others if one.chosen), "")
        return _sections(made.parts, _NO_OTHERS, ("with", "Compare with", "m"), names, chosen)

    return await _answer(request, "compare", render, "sections.html.jinja")


@router.get("/report")
async def report(request: Request) -> Response:
    """The report's own pages."""
    return await _answer(request, "report", lambda shelf, served: {}, "whole.html.jinja")
