"""The client against a service that really runs, and against one that is busy."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import polars as pl
import pytest

from api.keys import SCOPES, create_key
from api.settings import Settings
from tests.running import running
from tests.sample_bundle import sample_customers, write_sample
from tributary.client import AsyncClient, Client, ServiceError, UnknownCustomerError


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("client")
    key, _ = create_key(folder / "keys.json", scopes=SCOPES)
    settings = Settings(keys=folder / "keys.json", access_log=False)
    with running(settings, bundle=write_sample(folder / "v1", n=60)) as http:
        yield {"url": str(http.base_url), "key": key}


@pytest.fixture
def client(place: dict[str, str]) -> Iterator[Client]:
    with Client(place["url"], key=place["key"]) as client:
        yield client


def test_one_value(client: Client) -> None:
    expected = sample_customers(60).filter(pl.col("customer_id") == 7)["total_value"].item()
    assert client.value(7)["total_value"] == expected
    with pytest.raises(UnknownCustomerError, match="404: No customer has this id") as caught:
        client.value("no/such?id")
    assert caught.value.status == 404


def test_many_values_come_as_a_frame_in_the_order_asked(client: Client) -> None:
    frame = client.values(pl.Series([9, 777, 3]), fields=["decile"])
    assert frame.columns == ["customer_id", "decile"]
    assert frame["customer_id"].to_list() == ["9", "3"]
    assert client.values([]).is_empty()


def test_a_batch_above_the_limit_is_asked_in_parts(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tributary.calls.MOST_IDS", 7)
    frame = client.values(range(1, 61))
    assert frame["customer_id"].to_list() == [str(i) for i in range(1, 61)]


def test_tables_pages_and_the_rest(client: Client) -> None:
    assert client.attribution(outcome="spend", method="linear").height == 4
    assert client.effects()["estimate"].to_list() == [0.04]
    assert client.care()["kpi"].to_list() == ["first_response_time"]
    assert client.roi()["roi"].to_list() == [0.4]
    assert client.touchpoints(1)["channel"].to_list() == ["newsletter", "forum", "chat"]
    assert client.staffing(contacts=100)["agents"] == 14
    assert client.model()["customers"] == 60
    assert client.report().startswith(b"<!doctype html>")
    page = client.customers(limit=2, sort="-total_value")
    assert len(client.customers(limit=2, sort="-total_value", cursor=page["next"])["customers"]) == 2


def test_audiences_are_counted_exported_and_walked_through(client: Client, place: dict[str, str]) -> None:
    question = "ge(frequency,1)"
    kept = sample_customers(60).filter(pl.col("frequency") >= 1).sort("customer_id")
    assert client.count(filter=question)["customers"] == kept.height
    frame = client.export(filter=question, fields=["decile"])
    assert frame.columns == ["customer_id", "decile"]
    assert frame["customer_id"].to_list() == kept["customer_id"].to_list()
    walked = [row["customer_id"] for row in client.every_customer(filter=question, limit=7)]
    assert walked == kept["customer_id"].cast(pl.String).to_list()
    assert "decile" in client.columns()["column"].to_list()
    assert client.segments().is_empty()
    assert sum(map(sum, client.grid(x="recency", y="frequency")["counts"])) == 60

    async def walk() -> list[str]:
        async with AsyncClient(place["url"], key=place["key"]) as other:
            return [row["customer_id"] async for row in other.every_customer(filter=question)]

    assert asyncio.run(walk()) == walked


def test_a_refusal_carries_the_problem(client: Client) -> None:
    with pytest.raises(ServiceError, match="does not have the right form") as caught:
        client.customers(limit=0)
    assert caught.value.problem["type"] == "urn:tributary:problems#invalid-request"
    with pytest.raises(ServiceError, match="409"):
        client.predict(pl.DataFrame({"frequency": [1], "recency": [1.0], "T": [2.0]}))


def test_the_asynchronous_client_says_the_same(place: dict[str, str], client: Client) -> None:
    async def ask() -> tuple[dict[str, object], pl.DataFrame]:
        async with AsyncClient(place["url"], key=place["key"]) as ask_async:
            one, many = await asyncio.gather(ask_async.value("7"), ask_async.values(["1", "2"]))
            return one, many

    one, many = asyncio.run(ask())
    assert one == client.value("7")
    assert many.equals(client.values(["1", "2"]))


def _busy(statuses: list[int], headers: dict[str, str]) -> Callable[[httpx.Request], httpx.Response]:
    """Answers with these statuses in turn; 0 breaks the connection."""
    left = iter(statuses)

    def answer(request: httpx.Request) -> httpx.Response:
        status = next(left)
        if status == 0:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(
            status, json={"detail": "busy"} if status != 200 else {"ok": True}, headers=headers
        )

    return answer


@pytest.mark.parametrize("statuses", [[429, 200], [503, 503, 200], [0, 0, 200], [502, 0, 504, 429, 200]])
def test_a_busy_service_is_asked_again(statuses: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    client = Client("http://service", transport=httpx.MockTransport(_busy(statuses, {})))
    assert client.model() == {"ok": True}
    assert len(waits) == len(statuses) - 1
    assert all(0.1 * 2**i <= wait <= 0.2 * 2**i for i, wait in enumerate(waits))


def test_a_service_that_says_when_to_come_back_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    transport = httpx.MockTransport(_busy([429, 429, 200], {"retry-after": "7"}))
    Client("http://service", transport=transport).model()
    assert waits == [7.0, 7.0]


def test_patience_ends_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    busy = Client("http://service", retries=2, transport=httpx.MockTransport(_busy([503] * 3, {})))
    with pytest.raises(ServiceError, match="503: busy"):
        busy.model()
    gone = Client("http://service", retries=2, transport=httpx.MockTransport(_busy([0] * 3, {})))
    with pytest.raises(ServiceError, match=r"could not be reached \(ConnectError\)"):
        gone.model()


def test_a_rollback_over_a_broken_connection_is_sent_again_under_its_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys: list[str] = []
    busy = _busy([0, 200], {})

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        return busy(request)

    monkeypatch.setattr("time.sleep", lambda _: None)
    client = Client("http://service", transport=httpx.MockTransport(answer))
    client.rollback()
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_the_asynchronous_client_is_as_patient() -> None:
    async def ask() -> object:
        transport = httpx.MockTransport(_busy([0, 200], {"retry-after": "0"}))
        async with AsyncClient("http://service", transport=transport) as client:
            return await client.model()

    assert asyncio.run(ask()) == {"ok": True}


def test_both_clients_offer_the_same_calls_with_a_word_on_each() -> None:
    calls = [name for name in dir(Client) if not name.startswith("_") and name not in ("send", "close")]
    assert len(calls) >= 32
    for name in calls:
        assert inspect.getdoc(getattr(Client, name)), name
        assert hasattr(AsyncClient, name)


def test_the_client_needs_no_web_framework() -> None:
    names = "('fastapi', 'uvicorn', 'mlflow')"
    script = f"import sys, tributary.client; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_erasing_and_reloading(place: dict[str, str], tmp_path: Path) -> None:
    with Client(place["url"], key=place["key"]) as client:
        client.forget(60)
        client.forget(60)
        with pytest.raises(UnknownCustomerError):
            client.value(60)
        assert client.reload()["model_version"] == "v1"
