"""Style, script and fonts of the explorer, under addresses that change with them."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from api.problems import Problem
from api.replies import Reply
from reports.styles import font_bytes, stylesheet

router = APIRouter()

_TYPES: Final = {"js": b"text/javascript", "css": b"text/css", "woff2": b"font/woff2"}


@cache
def _asset(name: str) -> bytes | None:
    """A file that a page needs; the style sheet is the report's own with the explorer's after it."""
    own = files("api.explore") / "static"
    if name == "explorer.css":
        mine = (own / "explorer.css").read_text(encoding="utf-8")
        return f"{stylesheet(fonts_at='.')}\n{mine}".encode()
    if name in ("explorer.js", "htmx.min.js"):
        return (own / name).read_bytes()
    if name in ("inter-latin.woff2", "newsreader-latin.woff2"):
        return font_bytes(name)
    return None


@cache
def assets_digest() -> str:
    """One tag for all of them: a new version has new addresses."""
    digest = hashlib.sha256()
    for name in ("explorer.css", "explorer.js", "htmx.min.js"):
        digest.update(_asset(name) or b"")
    return digest.hexdigest()[:16]


@router.get("/static/{digest}/{name}")
async def static(digest: str, name: str) -> Response:
    """Style, script and fonts, kept by the browser for as long as it likes."""
    body = _asset(name)
    if body is None or digest != assets_digest():
        raise Problem(name="not-found", detail="There is no such file of the explorer.")
    kind = _TYPES[name.rpartition(".")[2]]
    etag = b'"' + digest.encode() + b'"'
    headers = [(b"cache-control", b"public, max-age=31536000, immutable"), (b"etag", etag)]
    return Reply(body, media_type=kind, headers=headers)
