"""For programs that receive events: whether one really comes from the service, and is fresh."""

from __future__ import annotations

import hmac
import time
from typing import Any

import orjson

from histories.errors import TributaryError


class SignatureError(TributaryError):
    """The event does not come from the service, was changed on its way, or is old."""


def read_event(
    body: bytes, signature: str, secret: str, *, tolerance_seconds: float = 300.0, now: float | None = None
) -> dict[str, Any]:
    """The event in a request's body, after its signature was checked.

    Parameters
    ----------
    body
        The body as it came, byte for byte.
    signature
        The header field `Tributary-Signature`.
    secret
        What `tributary hook add` showed.
    tolerance_seconds
        How old the signature may be; an older one could have been recorded and sent again.
    now
        Seconds since 1970; the clock's by default.

    Returns
    -------
    dict
        id, type, created_at, data. An event may come twice, with the same id.

    Raises
    ------
    SignatureError
        When it must not be believed.

    >>> read_event(b"{}", "t=1,v1=0", "whsec_x")
    Traceback (most recent call last):
        ...
    tributary.webhooks.SignatureError: The signature does not fit the body and the secret.
    """
    parts = dict(part.strip().partition("=")[::2] for part in signature.split(","))
    at, shown = parts.get("t", ""), parts.get("v1", "")
    if not at.isascii() or not at.isdigit():
        raise SignatureError("The signature names no time.")
    expected = hmac.digest(secret.encode(), f"{at}.".encode() + body, "sha256").hex()
    if not hmac.compare_digest(expected, shown):
        raise SignatureError("The signature does not fit the body and the secret.")
    if abs((time.time() if now is None else now) - int(at)) > tolerance_seconds:
        raise SignatureError(f"The signature is older than {tolerance_seconds:g} seconds.")
    event: dict[str, Any] = orjson.loads(body)
    return event
