"""Answers that are bytes already: what a route returns, with its validators for caches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from api.problems import Problem
from api.served import Served

JSON: Final = "application/json"
PARQUET: Final = "application/vnd.apache.parquet"
ARROW: Final = "application/vnd.apache.arrow.stream"

Header = tuple[bytes, bytes]

NO_STORE: Final[Header] = (b"cache-control", b"no-store")
"""For answers that depend on more than the bundle."""

_REVALIDATE: Final[Header] = (b"cache-control", b"private, no-cache")


class Reply(Response):
    """A response whose header fields are bytes, as the server wants them."""

    def __init__(
        self,
        body: bytes,
        *,
        media_type: bytes = b"application/json",
        status: int = 200,
        headers: Iterable[Header] = (),
    ) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(body)), *headers]


class NotModified(Response):
    """The client's copy is still good."""

    def __init__(self, headers: Iterable[Header]) -> None:
        self.status_code = 304
        self.background = None
        self.body = b""
        self.raw_headers = list(headers)


def not_modified(scope: Any, etag: str) -> bool:
    """Whether the client already has what this tag names (If-None-Match, weak comparison)."""
    for name, value in scope["headers"]:
        if name == b"if-none-match":
            tags = [tag.strip().removeprefix("W/") for tag in value.decode("latin-1").split(",")]
            return etag in tags or tags == ["*"]
    return False


def cached_reply(
    scope: Any,
    served: Served,
    body: bytes | Callable[[], bytes],
    *,
    media_type: bytes = b"application/json",
    variant: str = "",
    onward: Header | None = None,
) -> Response:
    """An answer that stays right as long as the bundle is served; 304 when the client has it already.

    The bundle's digest tags every address: one bundle, one answer per address and `variant`. `onward` leads
    to the page that follows.
    """
    if variant:
        etag = f'{served.etag[:-1]}-{variant}"'
        headers = [(b"etag", etag.encode()), _REVALIDATE, (b"vary", b"accept")]
    else:
        etag, headers = served.etag, [served.etag_header, _REVALIDATE]
    if onward is not None:
        headers.append(onward)
    if not_modified(scope, etag):
        return NotModified(headers)
    return Reply(body if isinstance(body, bytes) else body(), media_type=media_type, headers=headers)


def onward_link(request: Request, **changes: str | int | None) -> Header | None:
    """A Link field (RFC 8288) to the page that follows: the same question from another place on.

    None when the place is None, as on the last page.
    """
    if None in changes.values():
        return None
    query = {**request.query_params, **changes}
    address = quote(request.url.path, safe="/%")
    return b"link", f'<{address}?{urlencode(query)}>; rel="next"'.encode()


def negotiate(accept: str | None, offered: Iterable[str]) -> str:
    """The offered media type that the client likes best; the first when it does not care.

    Raises
    ------
    Problem
        When it accepts none of them.

    >>> negotiate("text/html;q=0.5, application/json", ["text/html", "application/json"])
    'application/json'
    """
    types = list(offered)
    if not accept or not accept.strip():
        return types[0]
    best, best_quality = "", 0.0
    for name in types:
        quality = _quality(accept, name)
        if quality > best_quality:
            best, best_quality = name, quality
    if not best:
        raise Problem(name="not-acceptable", detail=f"Accept one of: {', '.join(types)}.")
    return best


def _quality(accept: str, media_type: str) -> float:
    """Weight that an Accept field gives to a type; the most specific range counts (RFC 9110, 12.5.1)."""
    main = media_type.partition("/")[0]
    precedence, weight = 0, 0.0
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        rank = {media_type: 3, f"{main}/*": 2, "*/*": 1}.get(name, 0)
        if rank > precedence:
            precedence, weight = rank, 1.0
            for parameter in parameters:
                if parameter.startswith("q="):
                    try:
                        weight = float(parameter[2:])
                    except ValueError:
                        weight = 0.0
    return weight
