"""Refusals, tested as carefully as answers: each is a problem document and names no customer and no key."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.problems import PROBLEMS
from api.responses import ProblemDocument
from api.settings import Settings
from tests.running import eventually, running
from tests.sample_bundle import write_sample

BATCH = "/v1/customers/values"
PREDICT = "/v1/values/predict"
JSON = {"content-type": "application/json"}


def _problem(answer: httpx.Response) -> str:
    """The problem's name, after checking its form."""
    assert answer.headers["content-type"] == "application/problem+json"
    document = ProblemDocument.model_validate_json(answer.content)
    name = document.type.removeprefix("urn:tributary:problems#")
    assert PROBLEMS[name] == (answer.status_code, document.title)
    assert document.status == answer.status_code
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]
    return name


BODIES: list[tuple[str, bytes, str]] = [
    (BATCH, b"", "bad-request"),
    (BATCH, b"{", "bad-request"),
    (BATCH, b"\xff\xfe", "bad-request"),
    (BATCH, b"[" * 100_000, "invalid-request"),
    (BATCH, b'{"ids": ["1"], "x": ' + b"[" * 100_000, "invalid-request"),
    (BATCH, b"null", "invalid-request"),
    (BATCH, b"[]", "invalid-request"),
    (BATCH, b"{}", "invalid-request"),
    (BATCH, b'{"ids": []}', "invalid-request"),
    (BATCH, b'{"ids": [1]}', "invalid-request"),
    (BATCH, b'{"ids": [false]}', "invalid-request"),
    (BATCH, b'{"ids": [""]}', "invalid-request"),
    (BATCH, b'{"ids": "1"}', "invalid-request"),
    (BATCH, b'{"ids": ["1"], "id": 1}', "invalid-request"),
    (BATCH, b'{"ids": ["1"], "fields": ["decil"]}', "invalid-request"),
    (BATCH, b'{"ids": ["' + b"x" * 256 + b'"]}', "invalid-request"),
    (BATCH, b'{"ids": [' + b",".join([b'"1"'] * 10_001) + b"]}", "invalid-request"),
    (PREDICT, b'{"frequency": [1.5], "recency": [1], "T": [2]}', "invalid-request"),
    (PREDICT, b'{"frequency": [true], "recency": [1], "T": [2]}', "invalid-request"),
    (PREDICT, b'{"frequency": [-1], "recency": [1], "T": [2]}', "invalid-request"),
    (PREDICT, b'{"frequency": [99999999999999999999], "recency": [1], "T": [2]}', "invalid-request"),
    (PREDICT, b'{"frequency": [1], "recency": [1e999], "T": [2]}', "invalid-request"),
    (PREDICT, b'{"frequency": [1], "recency": [NaN], "T": [2]}', "bad-request"),
    (PREDICT, b'{"frequency": [1, 2], "recency": [1], "T": [2]}', "invalid-request"),
    (PREDICT, b'{"frequency": [1], "recency": [1], "T": [2], "horizon_months": 0}', "invalid-request"),
    ("/v1/staffing", b'{"contacts": 0}', "invalid-request"),
    (
        "/v1/staffing",
        b'{"contacts": 100000, "interval_minutes": 0.001, "handling_seconds": 86400}',
        "invalid-request",
    ),
]


@pytest.mark.parametrize(("path", "body", "name"), BODIES, ids=[f"{p[4:]} {b[:40]!r}" for p, b, _ in BODIES])
def test_a_wrong_body_is_refused_with_its_reason(
    service: httpx.Client, path: str, body: bytes, name: str
) -> None:
    assert _problem(service.post(path, content=body, headers=JSON)) == name


def test_an_error_in_a_body_names_its_place_but_not_the_value(service: httpx.Client) -> None:
    answer = service.post(BATCH, content=b'{"ids": ["1", 987654321]}', headers=JSON)
    assert answer.json()["errors"] == [{"at": "$.ids[1]", "detail": "Expected `str`, got `int`"}]
    assert "987654321" not in answer.text


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "", "multipart/form-data; boundary=x"]
)
def test_a_body_that_is_not_json_is_refused(service: httpx.Client, content_type: str) -> None:
    answer = service.post(BATCH, content=b'{"ids": ["1"]}', headers={"content-type": content_type})
    assert _problem(answer) == "unsupported-media-type"


def test_a_body_with_a_charset_is_taken(service: httpx.Client) -> None:
    answer = service.post(
        BATCH, content=b'{"ids": ["1"]}', headers={"content-type": "application/json; charset=utf-8"}
    )
    assert answer.status_code == 200


QUERIES = [
    "/v1/customers?limit=0",
    "/v1/customers?limit=99999999999999999999999",
    "/v1/customers?decile=11",
    "/v1/customers?sort=name",
    "/v1/customers?min_churn_probability=nan",
    "/v1/customers?max_customer_lifetime_value=inf",
    "/v1/customers?colour=red",
    "/v1/customers/1/touchpoints?after=-1",
    f"/v1/customers/{'x' * 256}/value",
    "/v1/attribution?outcome=" + "x" * 129,
]


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path[:50])
def test_a_wrong_address_is_refused_with_its_reason(service: httpx.Client, path: str) -> None:
    answer = service.get(path)
    assert _problem(answer) == "invalid-request"
    assert answer.json()["errors"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/reports/..%2fmanifest.json",
        "/v1/reports/manifest.json",
        "/nope",
    ],
)
def test_there_is_no_way_out_of_the_bundle(service: httpx.Client, path: str) -> None:
    assert _problem(service.get(path)) == "not-found"


@pytest.mark.parametrize(
    "customer_id",
    [
        "..",
        "%2e%2e",
        "..%00",
        "%ff%fe",
        "a%2fb",
        "..%2f..%2fetc%2fpasswd",
        "%F0%9F%92%A9",
        "%0d%0aset-cookie:1",
    ],
)
def test_a_strange_id_is_an_unknown_customer(service: httpx.Client, customer_id: str) -> None:
    request = (
        f"GET /v1/customers/{customer_id}/value HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    )
    head = _raw(service, request.encode())
    assert b" 404 " in head.split(b"\r\n")[0]
    assert b"set-cookie" not in head.lower()


def test_a_method_that_an_address_does_not_take_is_refused(service: httpx.Client) -> None:
    answer = service.put("/v1/customers/7/value")
    assert _problem(answer) == "method-not-allowed"
    assert answer.headers["allow"] == "GET"


def _raw(service: httpx.Client, data: bytes, *, pause: float = 0.0) -> bytes:
    """Send bytes as they are, and read until the service closes the connection."""
    url = service.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=20) as connection:
        try:
            for start in range(0, len(data), 65536):
                connection.sendall(data[start : start + 65536])
                time.sleep(pause)
        except OSError:
            pass  # the service may close before everything was sent
        found = b""
        try:
            while chunk := connection.recv(65536):
                found += chunk
        except OSError:
            pass
        return found


def test_an_id_of_a_megabyte_is_refused_before_it_costs_anything(service: httpx.Client) -> None:
    head = b"GET /v1/customers/" + b"7" * 1_000_000 + b"/value HTTP/1.1\r\nhost: localhost\r\n\r\n"
    assert _raw(service, head)[:13] in (b"HTTP/1.1 431 ", b"")
    assert service.get("/health/ready").status_code == 200


def test_an_address_within_the_server_limit_but_above_ours_is_refused(service: httpx.Client) -> None:
    assert _problem(service.get("/v1/customers/" + "7" * 9000 + "/value")) == "url-too-long"


def test_a_body_above_the_limit_is_refused_with_or_without_its_length(sample: Path) -> None:
    with running(Settings(max_body=1024, access_log=False), bundle=sample) as client:
        assert _problem(client.post(BATCH, content=b" " * 2000, headers=JSON)) == "too-large"
        chunks = (b" " * 500 for _ in range(4))
        assert _problem(client.post(BATCH, content=chunks, headers=JSON)) == "too-large"
        assert _problem(client.request("GET", "/v1/model", content=b" " * 2000)) == "too-large"


def test_a_body_that_does_not_arrive_is_not_waited_for(sample: Path) -> None:
    with running(Settings(body_timeout=0.2, access_log=False), bundle=sample) as client:
        lines = [
            f"POST {BATCH} HTTP/1.1",
            "host: x",
            "content-type: application/json",
            "content-length: 9",
            "",
            "{",
        ]
        found = _raw(client, "\r\n".join(lines).encode())
        assert found.startswith(b"HTTP/1.1 408 ")
        assert b"slow-request" in found


def test_a_head_that_does_not_arrive_is_not_waited_for(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.server.HEAD_SECONDS", 0.2)
    with running(bundle=sample) as client:
        assert _raw(client, b"GET /health/live HTTP/1.1\r\nhost:") == b""
        assert client.get("/health/live").status_code == 200


# Keys


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        "Basic dXNlcjpwYXNz",
        "bearer\tx",
        "Bearer " + "x" * 5000,
    ],
)
def test_no_key_or_a_bad_key_is_refused(guarded: httpx.Client, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    answer = guarded.get("/v1/customers/7/value", headers=headers)
    assert _problem(answer) == "no-key"
    assert answer.headers["www-authenticate"].startswith("Bearer")


ASKED: list[tuple[str, str, str, Any]] = [
    ("read", "GET", "/v1/customers/7/value", None),
    ("read", "GET", "/v1/model", None),
    ("read", "POST", "/v1/staffing", {"contacts": 10}),
    ("batch", "POST", BATCH, {"ids": ["7"]}),
    ("erase", "DELETE", "/v1/customers/4711", None),
    ("admin", "POST", "/v1/admin/reload", None),
]


@pytest.mark.parametrize("scope", ["read", "batch", "erase", "admin"])
@pytest.mark.parametrize(
    ("needed", "method", "path", "body"), ASKED, ids=[f"{m} {p}" for _, m, p, _ in ASKED]
)
def test_a_key_opens_what_its_scope_says_and_nothing_else(
    guarded: httpx.Client, keys: dict[str, str], scope: str, needed: str, method: str, path: str, body: Any
) -> None:
    answer = guarded.request(method, path, json=body, headers={"authorization": f"Bearer {keys[scope]}"})
    if scope == needed:
        assert answer.status_code in (200, 404)
    else:
        assert _problem(answer) == "missing-scope"


def test_every_documented_route_needs_a_key(guarded: httpx.Client) -> None:
    paths = guarded.get("/openapi.json").json()["paths"]
    for path, methods in paths.items():
        for method in methods:
            answer = guarded.request(method, path.replace("{customer_id}", "7"))
            open_to_all = path.startswith(("/health", "/v2/health", "/metrics"))
            assert (answer.status_code == 401) == (not open_to_all), (method, path)


def test_a_revoked_key_ends_and_a_new_one_begins_while_the_service_runs(sample: Path, tmp_path: Path) -> None:
    import datetime as dt

    from api.keys import create_key, revoke_key, rotate_key

    path = tmp_path / "keys.json"
    key, entry = create_key(path, scopes=["read"])
    with running(Settings(keys=path, watch_seconds=0.05, access_log=False), bundle=sample) as client:

        def status(shown: str) -> int:
            return client.get("/v1/model", headers={"authorization": f"Bearer {shown}"}).status_code

        assert status(key) == 200
        fresh, _ = rotate_key(path, entry.key_id, overlap=dt.timedelta(hours=1))
        assert eventually(lambda: status(fresh) == 200)
        assert status(key) == 200
        revoke_key(path, entry.key_id)
        assert eventually(lambda: status(key) == 401)
        path.write_text("not a file of keys")
        time.sleep(0.2)
        assert status(fresh) == 200


def test_too_many_requests_are_told_when_to_come_back(sample: Path, tmp_path: Path) -> None:
    from api.keys import create_key

    path = tmp_path / "keys.json"
    key, _ = create_key(path, scopes=["read"], rate_limit=2)
    with running(Settings(keys=path, access_log=False), bundle=sample) as client:
        headers = {"authorization": f"Bearer {key}"}
        answers = [client.get("/v1/model", headers=headers) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert [a.headers["ratelimit-remaining"] for a in answers] == ["1", "0", "0"]
    assert answers[0].headers["ratelimit-policy"] == "2;w=60"
    assert _problem(answers[2]) == "too-many-requests"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 30


def test_without_a_bundle_nothing_is_ready_and_every_answer_says_so(tmp_path: Path) -> None:
    with running(Settings(runs=tmp_path, access_log=False)) as client:
        assert client.get("/health/live").status_code == 200
        ready = client.get("/health/ready")
        assert ready.status_code == 503
        assert "no bundle" in ready.json()["refusal"]
        answer = client.get("/v1/customers/7/value")
        assert _problem(answer) == "not-ready"
        assert answer.headers["retry-after"]
        assert _problem(client.get("/v1/model")) == "not-ready"


def test_a_fault_of_our_own_is_a_problem_document_without_its_reason(
    sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.store.Store.find", lambda *_: 1 / 0)
    with running(bundle=sample) as client:
        answer = client.get("/v1/customers/7/value")
    assert _problem(answer) == "internal-error"
    assert "division" not in answer.text


def test_the_log_holds_neither_ids_nor_keys(
    sample: Path, keys: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    with running(Settings(keys=Path(keys["path"])), bundle=sample) as client:
        headers = {"authorization": f"Bearer {keys['read']}", "x-request-id": "abc-1"}
        answer = client.get("/v1/customers/31/value?x=31", headers=headers)
        assert answer.headers["x-request-id"] == "abc-1"
        client.get("/v1/customers/31415/value", headers=headers)
        client.get("/nowhere/31415", headers=headers)
    log = capfd.readouterr().err
    assert log.count('"event":"request"') == 3
    assert '"route":"/v1/customers/{customer_id}/value","status":422' in log
    assert "/31" not in log
    assert keys["read"] not in log


def test_other_machines_are_refused_without_keys() -> None:
    from histories.errors import ConfigError

    with pytest.raises(ConfigError, match=r"host is \"0\.0\.0\.0\", but there are no keys"):
        Settings(host="0.0.0.0")


def test_a_damaged_bundle_is_never_served(tmp_path: Path) -> None:
    from experiments.bundle.reading import load_bundle
    from histories.errors import BundleError

    path = write_sample(tmp_path / "b")
    (path / "serving" / "customers" / "decile.npy").write_bytes(b"x")
    with pytest.raises(BundleError, match="does not match its checksum"):
        load_bundle(path)
