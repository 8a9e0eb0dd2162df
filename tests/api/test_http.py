"""What clients, proxies and load balancers expect: HEAD, packed answers, one Host, an end to waiting."""

from __future__ import annotations

import gzip
import socket
import threading
from pathlib import Path

import httpx
import pytest

from api.keys import create_key
from api.settings import Settings
from tests.running import eventually, running

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "path", ["/health/live", "/health/ready", "/v1/customers/7/value", "/v1/attribution"]
)
def test_head_answers_like_get_without_the_body(service: httpx.Client, path: str) -> None:
    got, head = service.get(path), service.head(path)
    assert head.status_code == got.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == got.headers["content-length"]
    assert head.headers.get("etag") == got.headers.get("etag")
    assert service.head("/v1/customers/nobody/value").status_code == 404
    assert service.head("/v1/values/predict").status_code == 405


def test_large_answers_are_packed_where_the_client_unpacks_and_their_tag_becomes_weak(
    service: httpx.Client,
) -> None:
    with service.stream("GET", "/v1/customers?limit=50", headers={"accept-encoding": "gzip"}) as answer:
        packed = b"".join(answer.iter_raw())
    plain = service.get("/v1/customers?limit=50", headers={"accept-encoding": "identity"})
    assert answer.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in answer.headers["vary"].lower()
    assert gzip.decompress(packed) == plain.content
    assert len(packed) < len(plain.content) / 2
    assert answer.headers["etag"] == f"W/{plain.headers['etag']}"
    again = service.get("/v1/customers?limit=50", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304
    arrow = {"accept": "application/vnd.apache.arrow.stream", "accept-encoding": "gzip"}
    batch = service.post("/v1/customers/values", json={"ids": ["7"] * 50}, headers=arrow)
    assert "content-encoding" not in batch.headers


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/v1/attribution?outcom=spend", "outcome"),
        ("/v1/effects?nam=x", "name"),
        ("/v1/care/kpis?kp=x", "kpi"),
        ("/v1/roi?x=1", "allowed"),
        ("/v1/customers?decil=1", "decile"),
        ("/v1/customers?decile=1&decile=2", "2 times"),
        ("/v1/customers/7/value?x=1", "takes none"),
        ("/v1/customers/7/touchpoints?affter=1", "after"),
        ("/v1/model?x", "takes none"),
        ("/v1/reports/latest?format=pdf", "takes none"),
    ],
)
def test_a_query_parameter_that_is_unknown_or_given_twice_is_refused(
    service: httpx.Client, path: str, word: str
) -> None:
    answer = service.get(path, headers={"accept": "*/*"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:tributary:problems#invalid-request")
    assert word in answer.text


def test_a_packed_body_is_refused_by_name(service: httpx.Client) -> None:
    body = gzip.compress(b'{"ids": ["7"]}')
    answer = service.post("/v1/customers/values", content=body, headers={**JSON, "content-encoding": "gzip"})
    assert (answer.status_code, answer.json()["type"]) == (
        415,
        "urn:tributary:problems#unsupported-media-type",
    )


def test_the_documentation_repeats_nothing_of_the_host_field(sample: Path) -> None:
    settings = Settings(public_url="https://scores.example/", access_log=False)
    with running(settings, bundle=sample) as client:
        page = client.get("/docs", headers={"host": "evil.example"}).text
    assert "evil.example" not in page
    assert "https://scores.example/v1/customers/17/value" in page


def _raw(client: httpx.Client, sent: bytes) -> bytes:
    with socket.create_connection(
        (client.base_url.host, client.base_url.port or 80), timeout=20
    ) as connection:
        connection.sendall(sent)
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer


@pytest.mark.parametrize(
    ("sent", "status", "name"),
    [
        (
            b"GET /health/live HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
            b"400",
            b"bad-request",
        ),
        (b"GET /health/live HTTP/1.1\r\nconnection: close\r\n\r\n", b"400", b"bad-request"),
        (b"nonsense\r\n\r\n", b"400", b"bad-request"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", b"431", b"head-too-large"),
    ],
    ids=["two hosts", "no host", "no request", "a large head in one piece"],
)
def test_what_is_no_good_request_is_refused_as_a_problem_document(
    service: httpx.Client, sent: bytes, status: bytes, name: bytes
) -> None:
    answer = _raw(service, sent)
    assert answer.split(b" ", 2)[1] == status
    assert b"application/problem+json" in answer
    assert b"#" + name in answer


def test_a_trailer_does_not_become_a_field_of_the_head(guarded: httpx.Client, keys: dict[str, str]) -> None:
    body = b'{"ids":["7"]}'
    head = (
        f"POST /v1/customers/values HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {keys['batch']}\r\n"
        "content-type: application/json\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    chunk = b"%x\r\n%s\r\n0\r\nauthorization: Bearer nothing\r\n\r\n" % (len(body), body)
    assert _raw(guarded, head.encode() + chunk).split(b" ", 2)[1] == b"200"


def test_of_two_keys_neither_counts(guarded: httpx.Client, keys: dict[str, str]) -> None:
    shown = "".join(f"authorization: Bearer {key}\r\n" for key in ("other", keys["read"]))
    head = f"GET /v1/model HTTP/1.1\r\nhost: a\r\n{shown}connection: close\r\n\r\n"
    assert _raw(guarded, head.encode()).split(b" ", 2)[1] == b"401"


def test_a_client_that_does_not_read_is_not_waited_for(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.server.WRITE_SECONDS", 0.3)
    with running(bundle=sample) as client, socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect((client.base_url.host, client.base_url.port))
        ask = b"GET /v1/customers?limit=50 HTTP/1.1\r\nhost: a\r\n\r\n"

        def closed() -> bool:
            try:
                lazy.send(b" ")
            except ConnectionError:
                return True
            return False

        lazy.sendall(ask * 20)
        assert eventually(closed, seconds=20)
        assert client.get("/health/live").status_code == 200


def test_wrong_keys_are_counted_logged_by_address_and_slowed_down(
    sample: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.admission._WRONG_KEYS", 3)
    key, _ = create_key(tmp_path / "keys.json", scopes=["read"])
    with running(Settings(keys=tmp_path / "keys.json", access_log=False), bundle=sample) as client:
        guesses = [client.get("/v1/model", headers={"authorization": f"Bearer {n}"}) for n in range(5)]
        assert [answer.status_code for answer in guesses] == [401, 401, 401, 429, 429]
        assert int(guesses[-1].headers["retry-after"]) > 0
        assert not any("x-model-version" in answer.headers for answer in guesses)
        assert client.get("/v1/model", headers={"authorization": f"Bearer {key}"}).status_code == 200
        assert 'tributary_refused_requests_total{reason="no-key"} 3.0' in client.get("/metrics").text
    log = capfdbinary.readouterr().err
    assert log.count(b'"key_refused"') == 3
    assert b'"address":"127.0.0.1"' in log


def test_long_predictions_stop_nothing_else_and_too_many_are_told_to_come_back(sample: Path) -> None:
    from api.pool import WorkPool
    from api.problems import Problem

    pool = WorkPool("test")
    with running(bundle=sample) as client:
        import asyncio

        async def ask() -> tuple[int, int]:
            over = threading.Event()
            work = [pool.run(lambda: over.wait(20)) for _ in range(20)]
            found = asyncio.gather(*work, return_exceptions=True)
            status = await asyncio.to_thread(lambda: client.get("/v1/customers").status_code)
            over.set()
            refused = [error for error in await found if isinstance(error, Problem)]
            assert all(error.name == "busy" and error.headers["retry-after"] for error in refused)
            return status, len(refused)

        status, refused = asyncio.run(ask())
    assert status == 200
    assert refused == 11
    pool.close()
