"""Sends one event to one receiver: signed, to a public address alone, without redirects, bounded in time."""

from __future__ import annotations

import hmac
import socket
import time
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore

from api.hooks.addresses import is_public
from api.hooks.outbox import Delivery

SIGNATURE: Final = "tributary-signature"
_SECONDS: Final = 10.0
_MOST_BYTES: Final = 65_536


class RefusedAddressError(OSError):
    """The receiver's name leads to this machine or to a private network."""


class _PublicBackend(httpcore.NetworkBackend):
    """Resolves a name once, refuses what is not public, and connects to that very address.

    Checking the name and connecting to it in two steps would let it lead elsewhere in between.
    """

    def __init__(self, *, private: bool) -> None:
        self._private, self._inner = private, httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a name, when all are public."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError("the name is unknown") from error
        addresses = [str(entry[4][0]) for entry in found]
        if not self._private and not all(is_public(address) for address in addresses):
            raise RefusedAddressError("the address is not public")
        return self._inner.connect_tcp(addresses[0], port, timeout, local_address, socket_options)


def signature(secret: str, body: bytes, at: int) -> str:
    """What the receiver checks: the second of sending, and HMAC-SHA-256 of it, a dot, and the body.

    >>> signature("whsec_x", b"{}", 1)[:8]
    't=1,v1=3'
    """
    digest = hmac.digest(secret.encode(), b"%d." % at + body, "sha256").hex()
    return f"t={at},v1={digest}"


def send(delivery: Delivery) -> str | None:
    """Send a delivery; None when the receiver took it (any 2xx), otherwise why not."""
    hook, body = delivery.hook, delivery.body
    headers: dict[str | bytes, str | bytes] = {
        "host": urlsplit(hook.url).netloc.rpartition("@")[2],
        "content-type": "application/json",
        "user-agent": "tributary-webhooks/1",
        "tributary-event": delivery.event,
        SIGNATURE: signature(hook.secret, body, int(time.time())),
    }
    limits = dict.fromkeys(("connect", "read", "write", "pool"), _SECONDS)
    until = time.monotonic() + 2 * _SECONDS
    try:
        with (
            httpcore.ConnectionPool(network_backend=_PublicBackend(private=hook.private)) as pool,
            pool.stream(
                "POST", hook.url, headers=headers, content=body, extensions={"timeout": limits}
            ) as answer,
        ):
            size = 0
            for part in answer.iter_stream():
                size += len(part)
                if size > _MOST_BYTES or time.monotonic() > until:
                    break  # what it says besides its status does not matter
            return None if 200 <= answer.status < 300 else f"status {answer.status}"
    except RefusedAddressError:
        return "the address is not public"
    except (OSError, httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
        return type(error).__name__
    except (httpcore.UnsupportedProtocol, ValueError) as error:
        return type(error).__name__
