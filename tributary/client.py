"""A client of the scoring service, for programs: synchronous and asynchronous, frames in and out.

Every call is written once, as a `Call`: the request to send and how to read the answer. `Client` sends it and
waits, `AsyncClient` sends it and awaits; both retry what is worth retrying (429, 503, a broken connection).

>>> client = Client("http://127.0.0.1:8000", key="trib_…")            # doctest: +SKIP
>>> client.value("17")["customer_lifetime_value"]                     # doctest: +SKIP
113.2
>>> client.values(frame["customer_id"]).filter(pl.col("decile") == 10)  # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any, Final, Self, TypeVar

import httpx

from tributary.calls import Call, Calls, ServiceError, UnknownCustomerError

__all__ = ["AsyncClient", "Client", "ServiceError", "UnknownCustomerError"]

_RETRIED: Final = frozenset({429, 502, 503, 504})
_LONGEST_WAIT: Final = 30.0

T = TypeVar("T")


def _exchange(
    request: dict[str, Any], *, retries: int
) -> Generator[dict[str, Any] | float, httpx.Response | httpx.TransportError | None, httpx.Response]:
    """Say what to do next, a request to send or seconds to wait, until there is an answer.

    Waits double from 0.2 s and are drawn at random, so that clients do not all return at once; a service that
    says when to come back is obeyed, up to 30 s.
    """
    for attempt in range(retries + 1):
        found = yield request
        last = attempt == retries
        if isinstance(found, httpx.Response):
            if found.status_code not in _RETRIED or last:
                return _checked(found)
        elif last:
            reason = type(found).__name__
            raise ServiceError(0, {"detail": f"the service could not be reached ({reason})."}) from found
        asked = found.headers.get("retry-after", "") if isinstance(found, httpx.Response) else ""
        drawn = min(_LONGEST_WAIT, 0.2 * 2**attempt) * random.uniform(0.5, 1.0)
        yield min(float(asked), _LONGEST_WAIT) if asked.isdigit() else drawn
    raise AssertionError("the last try returns or raises")


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    try:
        problem = answer.json()
    except ValueError:
        problem = {"detail": answer.reason_phrase}
    unknown = problem.get("type", "").endswith("#unknown-customer")
    raise (UnknownCustomerError if unknown else ServiceError)(answer.status_code, problem)


def _answered(end: StopIteration) -> httpx.Response:
    answer: httpx.Response = end.value
    return answer


def _headers(key: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


class Client(Calls):
    """Asks and waits.

    Parameters
    ----------
    url
        Where the service is, such as "https://scores.example".
    key
        The API key; None where the service needs none.
    timeout
        Seconds for one try.
    retries
        Further tries after 429, 502, 503, 504 and broken connections.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout: float = 30.0,
        retries: int = 4,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._retries = retries
        self._http = httpx.Client(base_url=url, headers=_headers(key), timeout=timeout, transport=transport)

    def send(self, call: Call[T]) -> T:
        """Send a call's requests and read the answers.

        Raises
        ------
        ServiceError
            When the service refuses, or cannot be reached.
        """
        return call.read([self._send(request) for request in call.requests])

    def _send(self, request: dict[str, Any]) -> httpx.Response:
        steps = _exchange(request, retries=self._retries)
        found: httpx.Response | httpx.TransportError | None = None
        try:
            while True:
                step = steps.send(found)
                found = None
                if isinstance(step, float):
                    time.sleep(step)
                    continue
                try:
                    found = self._http.request(**step)
                except httpx.TransportError as error:
                    found = error
        except StopIteration as end:
            return _answered(end)

    def every_customer(self, **question: Any) -> Iterator[dict[str, Any]]:
        """Customers one by one, page after page; `question` as in `customers`.

        Raises
        ------
        ServiceError
            When the service refuses; 409 when the scores were replaced between two pages.
        """
        cursor = None
        while True:
            page = self.customers(**{"limit": 1000, **question}, cursor=cursor)
            yield from page["customers"]
            cursor = page["next"]
            if cursor is None:
                return

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(Calls):
    """Asks and awaits; everything else as in `Client`."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout: float = 30.0,
        retries: int = 4,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._retries = retries
        self._http = httpx.AsyncClient(
            base_url=url, headers=_headers(key), timeout=timeout, transport=transport
        )

    async def send(self, call: Call[T]) -> T:
        """Send a call's requests and read the answers.

        Raises
        ------
        ServiceError
            When the service refuses, or cannot be reached.
        """
        return call.read([await self._send(request) for request in call.requests])

    async def _send(self, request: dict[str, Any]) -> httpx.Response:
        steps = _exchange(request, retries=self._retries)
        found: httpx.Response | httpx.TransportError | None = None
        try:
            while True:
                step = steps.send(found)
                found = None
                if isinstance(step, float):
                    await asyncio.sleep(step)
                    continue
                try:
                    found = await self._http.request(**step)
                except httpx.TransportError as error:
                    found = error
        except StopIteration as end:
            return _answered(end)

    async def every_customer(self, **question: Any) -> AsyncIterator[dict[str, Any]]:
        """Customers one by one, page after page; `question` as in `customers`."""
        cursor = None
        while True:
            page = await self.customers(**{"limit": 1000, **question}, cursor=cursor)
            for customer in page["customers"]:
                yield customer
            cursor = page["next"]
            if cursor is None:
                return

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
