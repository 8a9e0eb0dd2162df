"""Refusals as problem details (RFC 9457); one table names them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from starlette.types import Send

MEDIA_TYPE: Final = b"application/problem+json"

KINDS: Final = "urn:tributary:problems#"
"""What `type` begins with, wherever the service runs: an identifier, not an address."""

PROBLEMS: Final[Mapping[str, tuple[int, str]]] = {
    "bad-request": (400, "The request cannot be read"),
    "no-key": (401, "A valid API key is required"),
    "missing-scope": (403, "The key does not allow this"),
    "not-loopback": (403, "Without keys only this machine is served"),
    "not-found": (404, "There is nothing at this address"),
    "unknown-customer": (404, "The customer is unknown"),
    "unknown-model": (404, "There is no model of this name"),
    "unknown-version": (404, "No promotion that is kept has this version"),
    "no-report": (404, "The run made no report of this kind"),
    "method-not-allowed": (405, "The address does not take this method"),
    "not-acceptable": (406, "No representation that the client accepts"),
    "slow-request": (408, "The request did not arrive in time"),
    "bundle-refused": (409, "The bundle was refused; the one before still serves"),
    "nothing-to-roll-back": (409, "There is no earlier bundle to go back to"),
    "stale-cursor": (409, "The scores changed since this page was made"),
    "no-such-column-then": (409, "The earlier scores had no such column"),
    "no-promise": (409, "The run holds no promise that cases were kept or broken by"),
    "no-purchases": (409, "The bundle holds no purchases"),
    "reused-key": (409, "This key was sent before with other content"),
    "no-identities": (409, "Nobody can be found by a handle here"),
    "no-value": (409, "The customer has no value"),
    "no-live-scores": (409, "What arrives changes no score here"),
    "erased-customer": (410, "The customer was erased"),
    "no-purchase-model": (409, "The run fitted no purchase model"),
    "too-large": (413, "The request is too large"),
    "url-too-long": (414, "The address is too long"),
    "head-too-large": (431, "The head of the request is too large"),
    "unsupported-media-type": (415, "The body has another type than the address takes"),
    "no-such-range": (416, "The file has no such bytes"),
    "invalid-request": (422, "The request does not have the right form"),
    "in-the-future": (422, "It has not happened yet"),
    "other-currency": (422, "The amount is in another currency"),
    "before-first-purchase": (422, "The order lies before the first purchase"),
    "too-old": (422, "It belongs to the next run"),
    "too-many-requests": (429, "Too many requests"),
    "internal-error": (500, "The service failed"),
    "not-ready": (503, "No bundle is loaded yet"),
    "busy": (503, "More of this work is waiting than the service takes"),
    "storage-refused": (503, "The disk does not take the change"),
    "disk-full": (507, "There is no space for the change"),
}
"""Status and title by name; the name is the last part of `type`."""


@dataclass(kw_only=True, eq=False)
class Problem(Exception):  # noqa: N818 - the field's word
    """A refusal to be sent.

    Attributes
    ----------
    name
        A key of `PROBLEMS`.
    detail
        What was found and what to do next, without personal data.
    errors
        For a wrong body: one `{"at": …, "detail": …}` for each place.
    headers
        Further response headers.
    """

    name: str
    detail: str
    errors: Sequence[Mapping[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """HTTP status code."""
        return PROBLEMS[self.name][0]

    def body(self, request_id: str | None = None, *, of_protocol: bool = False) -> bytes:
        """The problem document of a request; with the member `error` where an inference protocol wants it."""
        error = self.detail if of_protocol else None
        return problem_body(self.name, self.detail, self.errors, request_id=request_id, error=error)


def unknown_customer() -> Problem:
    """The refusal of a customer whom nobody here knows, or who was erased."""
    return Problem(name="unknown-customer", detail="No customer has this id in the scores being served.")


def problem_body(
    name: str,
    detail: str,
    errors: Sequence[Mapping[str, str]] = (),
    *,
    request_id: str | None = None,
    error: str | None = None,
) -> bytes:
    """The JSON document of a problem."""
    status, title = PROBLEMS[name]
    document: dict[str, Any] = {
        "type": f"{KINDS}{name}",
        "title": title,
        "status": status,
        "detail": detail,
        "help": f"/docs#{name}",
    }
    if error is not None:
        document["error"] = error
    if request_id is not None:
        document["request_id"] = request_id
    if errors:
        document["errors"] = list(errors)
    return orjson.dumps(document)


async def send_problem(send: Send, problem: Problem, request_id: str | None = None) -> None:
    """Answer with a problem document."""
    body = problem.body(request_id)
    headers = [
        (b"content-type", MEDIA_TYPE),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
