"""Where events may be sent: to public addresses alone, unless a hook allows others."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from histories.errors import ConfigError


def is_public(address: str) -> bool:
    """Whether an address lies outside this machine, private networks and what clouds keep for themselves.

    >>> is_public("93.184.216.34"), is_public("169.254.169.254"), is_public("::ffff:10.0.0.1")
    (True, False, False)
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_global and not found.is_multicast


def check_receiver(url: str, *, private: bool) -> None:
    """Refuse an address that can never be sent to; what a name leads to is looked at with every event.

    Raises
    ------
    ConfigError
        When it is none of http or https, or a number of this machine or of a private network.
    """
    if not url.startswith(("https://", "http://")) or len(url) > 2000 or any(c.isspace() for c in url):
        raise ConfigError("The receiver's address must begin with https:// or http://.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port == 0:
        raise ConfigError("The receiver's address names no host, or a port that is none from 1 to 65535.")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            "The receiver's address holds a name or password, which would not be sent. "
            "The signature says who sends: check it."
        )
    if not private and _leads_home(host):
        raise ConfigError(
            "The receiver's address is on this machine or in a private network; --allow-private lifts this."
        )


def _leads_home(host: str) -> bool:
    """Whether a host written as a number, in any form that the system reads, is not public."""
    if host.rstrip(".") == "localhost" or host.endswith(".localhost"):
        return True
    try:
        found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return False
    return not all(is_public(str(entry[4][0])) for entry in found)
