"""Addresses that will end: what says so on every answer and in the description, a year before."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any, Final

_NOTICE: Final = dt.timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    """That an address ends.

    Attributes
    ----------
    since, ends
        The day on which this was announced, and the first on which the address may be gone: at least a year
        later.
    successor
        The address that takes its place.

    Raises
    ------
    ValueError
        When less than a year lies between the days.
    """

    since: dt.date
    ends: dt.date
    successor: str

    def __post_init__(self) -> None:
        if self.ends - self.since < _NOTICE:
            raise ValueError(f"{self.ends} is less than a year after {self.since}: clients need that time")

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Deprecation (RFC 9745), Sunset (RFC 8594) and a Link to the successor.

        >>> r = Retirement(since=dt.date(2027, 1, 1), ends=dt.date(2028, 1, 1), successor="/v2/customers")
        >>> [value.decode() for _, value in r.headers()]
        ['@1798761600', 'Sat, 01 Jan 2028 00:00:00 GMT', '</v2/customers>; rel="successor-version"']
        """
        return [
            (b"deprecation", b"@%d" % _midnight(self.since).timestamp()),
            (b"sunset", format_datetime(_midnight(self.ends), usegmt=True).encode()),
            (b"link", f'<{self.successor}>; rel="successor-version"'.encode()),
        ]


RETIRING: Final[Mapping[tuple[str, str], Retirement]] = {}
"""What ends, by method and address as `/openapi.json` writes them."""

HEADERS: Final[dict[str, Any]] = {
    "Deprecation": {"description": "When its end was announced (RFC 9745).", "schema": {"type": "string"}},
    "Sunset": {"description": "When it may be gone (RFC 8594).", "schema": {"type": "string"}},
}
"""The header fields in the OpenAPI document."""


def retired_operation(operation: dict[str, Any], retirement: Retirement) -> None:
    """Mark an operation of the OpenAPI document."""
    text = f"Ends on {retirement.ends}; `{retirement.successor}` takes its place."
    operation["deprecated"] = True
    operation["description"] = f"{text}\n\n{operation.get('description', '')}".strip()
    for response in operation["responses"].values():
        response["headers"] |= {name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS}


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)
