"""What can be asked of the scoring service: each call once, as requests and a way to read the answers."""

from __future__ import annotations

import io
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, Final, Generic, ParamSpec, Self, TypeVar, overload
from urllib.parse import quote

import httpx
import polars as pl

from experiments.bundle.tables import TABLES, BundleTable
from histories.errors import TributaryError

if TYPE_CHECKING:
    from tributary.client import AsyncClient, Client


ARROW: Final = "application/vnd.apache.arrow.stream"
PARQUET: Final = "application/vnd.apache.parquet"
MOST_IDS: Final = 10_000
"""Ids in one request; longer batches are cut."""

P = ParamSpec("P")
T = TypeVar("T")


class ServiceError(TributaryError):
    """The service refused, or could not be reached.

    Attributes
    ----------
    status
        HTTP status; 0 when there was no answer.
    problem
        The problem document, as far as there is one.
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status, self.problem = status, problem
        text = problem.get("detail") or problem.get("title") or "no further word"
        places = "; ".join(f"{e.get('at')}: {e.get('detail')}" for e in problem.get("errors", ()))
        said = f"The service answered {status}: {text}" if status else f"No answer: {text}"
        super().__init__(f"{said}{f' ({places})' if places else ''}")


class UnknownCustomerError(ServiceError):
    """No customer has this id, or the customer was erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """Requests to send one after the other, and how their answers become one result.

    Sending twice does no harm, so that a broken connection may be tried again.
    """

    requests: Sequence[dict[str, Any]]
    read: Callable[[Sequence[httpx.Response]], T]


def _one(method: str, path: str, read: Callable[[httpx.Response], T], **options: Any) -> Call[T]:
    return Call(requests=[{"method": method, "url": path, **options}], read=lambda answers: read(answers[0]))


def _json(answer: httpx.Response) -> Any:
    return answer.json()


class _Method(Generic[P, T]):
    """A call as a method: plain on a `Client`, awaited on an `AsyncClient`."""

    def __init__(self, build: Callable[Concatenate[Calls, P], Call[T]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Client, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncClient, owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self

        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.send(self._build(client, *args, **kwargs))

        call.__doc__ = self.__doc__
        return call


class Calls:
    """What can be asked; shared by both clients."""

    @_Method
    def value(self, customer_id: str | int) -> Call[dict[str, Any]]:
        """One customer's score."""
        return _one("GET", f"/v1/customers/{_segment(customer_id)}/value", _json)

    @_Method
    def values(
        self, customer_ids: Iterable[str | int], *, fields: Sequence[str] | None = None
    ) -> Call[pl.DataFrame]:
        """Scores of many customers, in the order asked; unknown ids have no row.

        Any number of ids: they are asked in batches of 10,000. All batches come from one bundle, or the call
        is refused and can be repeated.
        """
        ids = [str(customer_id) for customer_id in customer_ids]
        body: dict[str, Any] = {} if fields is None else {"fields": list(fields)}
        requests = [
            {
                "method": "POST",
                "url": "/v1/customers/values",
                "json": {"ids": ids[start : start + MOST_IDS], **body},
                "headers": {"accept": ARROW},
            }
            for start in range(0, len(ids), MOST_IDS)
        ]
        return Call(requests=requests, read=_stacked)

    @_Method
    def predict(self, summary: pl.DataFrame, *, horizon_months: int | None = None) -> Call[pl.DataFrame]:
        """Value customers who are not stored.

        Parameters
        ----------
        summary
            Columns frequency, recency, T and, for value in money, monetary_value; further columns stay.
        horizon_months
            Months ahead; the run's when not given.
        """
        requests = [
            {"method": "POST", "url": "/v1/values/predict", "json": _summary_body(part, horizon_months)}
            for part in summary.iter_slices(MOST_IDS)
        ]

        def read(answers: Sequence[httpx.Response]) -> pl.DataFrame:
            floats = dict.fromkeys(_PREDICTED, pl.Float64)
            parts = [pl.DataFrame(answer.json()["columns"], schema_overrides=floats) for answer in answers]
            kept = summary.drop(_PREDICTED, strict=False)
            return pl.concat([kept, pl.concat(parts)], how="horizontal") if parts else kept

        return Call(requests=requests, read=read)

    @_Method
    def customers(
        self, /, *, limit: int = 100, cursor: str | None = None, **question: Any
    ) -> Call[dict[str, Any]]:
        """A page of customers; `question` as the service describes it: filter, sort, fields, decile, …."""
        query: dict[str, Any] = {"limit": limit, **question}
        if cursor:
            query["cursor"] = cursor
        return _one("GET", "/v1/customers", _json, params=query)

    @_Method
    def count(self, /, **question: Any) -> Call[dict[str, Any]]:
        """How many customers a filter keeps, of how many, and what they are worth together."""
        return _one("GET", "/v1/customers/count", _json, params=question)

    @_Method
    def grid(self, /, *, x: str, y: str, **question: Any) -> Call[dict[str, Any]]:
        """Counts of customers over two columns: `x_parts`, `y_parts`, and a filter."""
        return _one("GET", "/v1/customers/grid", _json, params={"x": x, "y": y, **question})

    @_Method
    def columns(self) -> Call[pl.DataFrame]:
        """Columns that filters, sort orders, grids and exports may name: column, type, unit, words, texts."""

        def read(answer: httpx.Response) -> pl.DataFrame:
            return pl.DataFrame(answer.json()["columns"], schema_overrides={"texts": pl.List(pl.String)})

        return _one("GET", "/v1/customers/columns", read)

    @_Method
    def segments(self) -> Call[pl.DataFrame]:
        """The segments that the run names: name, filter, description, customers, share, value."""

        def read(answer: httpx.Response) -> pl.DataFrame:
            return pl.DataFrame(answer.json()["segments"], infer_schema_length=None)

        return _one("GET", "/v1/segments", read)

    @_Method
    def versions(self) -> Call[list[str]]:
        """Model versions of the last promotions, the newest first."""
        return _one("GET", "/v1/versions", lambda answer: list(answer.json()["versions"]))

    @_Method
    def changes(
        self, /, *, since: str, limit: int = 1000, cursor: str | None = None, **question: Any
    ) -> Call[dict[str, Any]]:
        """A page of what changed since a model version: `column` and `by`, or `segment`."""
        query: dict[str, Any] = {"since": since, "limit": limit, **question}
        if cursor:
            query["cursor"] = cursor
        return _one("GET", "/v1/customers/changes", _json, params=query)

    @_Method
    def export(self, /, **question: Any) -> Call[pl.DataFrame]:
        """All customers, or those whom a filter keeps: `filter`, `fields` (a list, or names with commas)."""
        if not isinstance(question.get("fields", ""), str):
            question["fields"] = ",".join(question["fields"])
        headers = {"accept": PARQUET}
        return _one(
            "GET",
            "/v1/customers/export",
            lambda answer: pl.read_parquet(answer.content),
            params=question,
            headers=headers,
        )

    @_Method
    def touchpoints(self, customer_id: str | int, *, after: int = 0, limit: int = 1000) -> Call[pl.DataFrame]:
        """A customer's contacts, oldest first."""

        def read(answer: httpx.Response) -> pl.DataFrame:
            return pl.DataFrame(answer.json()["touchpoints"], infer_schema_length=None)

        path = f"/v1/customers/{_segment(customer_id)}/touchpoints"
        return _one("GET", path, read, params={"after": after, "limit": limit})

    @_Method
    def purchases(self, customer_id: str | int, *, after: int = 0, limit: int = 1000) -> Call[pl.DataFrame]:
        """A customer's purchases, oldest first."""

        def read(answer: httpx.Response) -> pl.DataFrame:
            return pl.DataFrame(answer.json()["purchases"], infer_schema_length=None)

        path = f"/v1/customers/{_segment(customer_id)}/purchases"
        return _one("GET", path, read, params={"after": after, "limit": limit})

    @_Method
    def history(self, customer_id: str | int, *, step_days: int = 7) -> Call[pl.DataFrame]:
        """The chance of being a customer over time: date, probability_alive, purchased."""

        def read(answer: httpx.Response) -> pl.DataFrame:
            return pl.DataFrame(answer.json()["history"], infer_schema_length=None)

        path = f"/v1/customers/{_segment(customer_id)}/history"
        return _one("GET", path, read, params={"step_days": step_days})

    @_Method
    def reasons(self, customer_id: str | int) -> Call[dict[str, Any]]:
        """Why a customer is worth more or less than the company's mean, factor by factor."""
        return _one("GET", f"/v1/customers/{_segment(customer_id)}/reasons", _json)

    @_Method
    def lookup(self, handles: Iterable[tuple[str, str]]) -> Call[list[str | None]]:
        """Ids of the customers behind handles, each a platform and a name; None where nobody is known.

        Of the platform "email" the name is the address, or its SHA-256.
        """
        asked = [{"platform": platform, "handle": handle} for platform, handle in handles]
        requests = [
            {"method": "POST", "url": "/v1/customers/lookup", "json": {"handles": asked[i : i + MOST_IDS]}}
            for i in range(0, len(asked), MOST_IDS)
        ]
        return Call(requests=requests, read=lambda a: [name for x in a for name in x.json()["customer_ids"]])

    @_Method
    def add_purchases(self, orders: pl.DataFrame) -> Call[dict[str, int]]:
        """Send orders as they arrive: customer_id, timestamp, amount, currency, order_id.

        Each batch of 10,000 is taken in whole or not at all. Sending again does no harm: an order_id counts
        once.

        Returns
        -------
        dict
            accepted, duplicates.
        """
        return _arriving("/v1/purchases", orders)

    @_Method
    def add_touchpoints(self, contacts: pl.DataFrame) -> Call[dict[str, int]]:
        """Send contacts as they arrive: customer_id, timestamp, channel, touchpoint_id."""
        return _arriving("/v1/touchpoints", contacts)

    @_Method
    def open_cases(self, /, **question: str | int) -> Call[pl.DataFrame]:
        """A page of the cases whose customers wait: sort, channel, team, priority, limit, cursor."""
        return _one(
            "GET",
            "/v1/care/cases",
            lambda answer: pl.DataFrame(answer.json()["cases"], infer_schema_length=None),
            params=question,
        )

    @_Method
    def care_engagement(self, /, **question: int) -> Call[pl.DataFrame]:
        """Who recommended, wrote in public or helped others, for ranking only: limit."""
        return _one("GET", "/v1/care/engagement", _rows, params=question)

    @_Method
    def staffing(self, /, **demand: Any) -> Call[dict[str, Any]]:
        """Agents for one interval (`contacts`), or for work that can wait (`arrivals`, `promise_minutes`)."""
        return _one("POST", "/v1/staffing", _json, json=demand)

    @_Method
    def model(self) -> Call[dict[str, Any]]:
        """The model card."""
        return _one("GET", "/v1/model", _json)

    @_Method
    def report(self, *, media_type: str = "text/html") -> Call[bytes]:
        """The latest report as HTML, PDF or JSON."""
        return _one(
            "GET", "/v1/reports/latest", lambda answer: answer.content, headers={"accept": media_type}
        )

    @_Method
    def forget(self, customer_id: str | int) -> Call[None]:
        """Erase a customer."""
        return _one("DELETE", f"/v1/customers/{_segment(customer_id)}", lambda _answer: None)

    @_Method
    def reload(self) -> Call[dict[str, Any]]:
        """Load what is to be served now."""
        return _one("POST", "/v1/admin/reload", _json)

    @_Method
    def rollback(self) -> Call[dict[str, Any]]:
        """Serve again what was served before."""
        headers = {"idempotency-key": secrets.token_hex(16)}
        return _one("POST", "/v1/admin/rollback", _json, headers=headers)


def _rows_of(table: BundleTable) -> _Method[..., pl.DataFrame]:
    """The call that asks for rows of a table."""

    def build(self: Calls, /, **question: str) -> Call[pl.DataFrame]:
        return _one("GET", f"/v1/{table.route}", _rows, params=question)

    build.__doc__ = f"{table.words} Filters: {', '.join(table.filters)}."
    return _Method(build)


for _table in TABLES.values():
    if _table.route:
        setattr(Calls, _table.called, _rows_of(_table))


_PREDICTED: Final = (
    "probability_alive",
    "churn_probability",
    "expected_purchases",
    "expected_spend",
    "discounted_purchases",
    "customer_lifetime_value",
    "days_to_next_purchase",
)


def _summary_body(summary: pl.DataFrame, horizon_months: int | None) -> dict[str, Any]:
    """A predict request's body; NaN and null alike mean that there is no value."""
    body: dict[str, Any] = {"frequency": summary["frequency"].cast(pl.Int64).to_list()}
    for name in ("recency", "T", "monetary_value"):
        if name in summary.columns:
            body[name] = summary[name].cast(pl.Float64).fill_nan(None).to_list()
    if horizon_months is not None:
        body["horizon_months"] = horizon_months
    return body


def _arriving(path: str, rows: pl.DataFrame) -> Call[dict[str, int]]:
    """Rows as Arrow streams, and what became of them together."""
    requests = []
    for part in rows.iter_slices(MOST_IDS):
        stream = io.BytesIO()
        part.write_ipc_stream(stream, compat_level=pl.CompatLevel.oldest())
        headers = {"content-type": ARROW}
        requests.append({"method": "POST", "url": path, "content": stream.getvalue(), "headers": headers})

    def read(answers: Sequence[httpx.Response]) -> dict[str, int]:
        told = [answer.json() for answer in answers]
        return {name: sum(one[name] for one in told) for name in ("accepted", "duplicates")}

    return Call(requests=requests, read=read)


def _segment(customer_id: str | int) -> str:
    return quote(str(customer_id), safe="")


def _rows(answer: httpx.Response) -> pl.DataFrame:
    return pl.DataFrame(answer.json()["rows"], infer_schema_length=None)


def _stacked(answers: Sequence[httpx.Response]) -> pl.DataFrame:
    """Batches of one bundle under each other."""
    versions = {answer.headers.get("x-model-version") for answer in answers}
    if len(versions) > 1:
        raise ServiceError(0, {"detail": "the scores were replaced between two batches. Ask again."})
    return (
        pl.concat([pl.read_ipc_stream(io.BytesIO(answer.content)) for answer in answers])
        if answers
        else pl.DataFrame()
    )
