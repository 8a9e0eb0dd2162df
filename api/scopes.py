"""Which scope an address needs: one table, read by the guard and by the documentation."""

from __future__ import annotations

from typing import Final

__all__ = ["required_scope"]

_BATCH: Final = frozenset({"/v1/customers/values", "/v1/values/predict", "/v1/customers/export"})
_WRITE: Final = frozenset({"/v1/purchases", "/v1/touchpoints"})


def required_scope(method: str, path: str, *, fragment: bool = False) -> str | None:
    """The scope for a request; None where no key is asked for.

    The explorer's pages hold no data where keys are known; the fragments that fill them do.

    >>> required_scope("GET", "/v1/customers/17/value"), required_scope("DELETE", "/v1/customers/17")
    ('read', 'erase')
    >>> required_scope("POST", "/v1/admin/reload"), required_scope("GET", "/health/live")
    ('admin', None)
    >>> required_scope("GET", "/explore/credit"), required_scope("GET", "/explore/credit", fragment=True)
    (None, 'read')
    """
    if path.startswith("/explore/"):
        return "read" if fragment or path.startswith("/explore/download/") else None
    if path.startswith("/v2"):
        return None if path.startswith("/v2/health/") else "batch" if path.endswith("/infer") else "read"
    if not path.startswith("/v1"):
        return None
    if path.startswith("/v1/admin/"):
        return "admin"
    if method == "DELETE":
        return "erase"
    if path in _BATCH:
        return "batch"
    if path in _WRITE:
        return "write"
    return "read"
