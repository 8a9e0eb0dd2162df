"""Webhooks against a receiver that really listens: nothing lost, nothing new twice, in order, signed."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.hooks import outbox as outbox_module
from api.hooks import sending
from api.hooks.outbox import Delivery, Hook, Outbox
from api.hooks.sending import send
from api.settings import Settings
from experiments.champion import promote_bundle
from experiments.segments import Segment, count_segments
from histories.errors import ConfigError, StorageError
from tests.running import eventually, running
from tests.sample_bundle import sample_customers, write_sample
from tributary.webhooks import SignatureError, read_event

Answer = Callable[[int, dict[str, Any]], tuple[int, bytes]]


class Receiver:
    """Keeps what it took; `answer` says with which status it answers the n-th request."""

    def __init__(self, answer: Answer) -> None:
        self.taken: list[dict[str, Any]] = []
        self.asked: list[tuple[bytes, str]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.asked.append((body, self.headers["tributary-signature"]))
                status, said = answer(len(receiver.asked), json.loads(body))
                if 200 <= status < 300:
                    receiver.taken.append(json.loads(body))
                self.send_response(status)
                self.send_header("location", "/elsewhere")
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/events"


@contextlib.contextmanager
def receiving(answer: Answer = lambda _n, _event: (200, b"")) -> Iterator[Receiver]:
    receiver = Receiver(answer)
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join()


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(outbox_module, "_FIRST_PAUSE", 0.001)
    segment = Segment(name="best", filter="gt(customer_lifetime_value,100)")
    for seed in (1, 2):
        customers = sample_customers(40, seed=seed)
        write_sample(
            tmp_path / f"v{seed}",
            version=f"v{seed}",
            tables={"customers": customers},
            segments=count_segments((segment,), customers, None),
        )
    promote_bundle(tmp_path, tmp_path / "v1", "test")
    return tmp_path


def _settings(runs: Path) -> Settings:
    return Settings(runs=runs, watch_seconds=0.02, access_log=False)


def _delivery(url: str, *, private: bool, secret: str = "whsec_x") -> Delivery:
    hook = Hook(id="h", url=url, secret=secret, events=(), segments=(), private=private, created_at="")
    return Delivery(hook=hook, sequence=1, event="evt_1", type="scores.promoted", body=b"{}", attempts=0)


def test_a_receiver_that_fails_half_of_the_time_misses_nothing_and_gets_no_event_twice(runs: Path) -> None:
    with receiving(lambda n, _event: ((500, 200)[n % 2], b"")) as receiver:
        outbox = Outbox(runs)
        hook = outbox.add(
            receiver.url, events=["scores.promoted", "segment.entered", "segment.left"], private=True
        )
        with running(_settings(runs)) as client:
            assert eventually(lambda: outbox.announced() == "v1")
            for number in range(6):
                wanted = f"v{2 - number % 2}"
                promote_bundle(runs, runs / wanted, "test")
                assert eventually(lambda wanted=wanted: outbox.announced() == wanted)
            assert eventually(lambda: outbox.counts() == {"waiting": 0, "dead": 0})
            assert eventually(
                lambda: 'tributary_hook_deliveries{status="waiting"} 0.0' in client.get("/metrics").text
            )
    kinds = [event["type"] for event in receiver.taken]
    assert kinds == ["scores.promoted", "segment.entered", "segment.left"] * 6
    ids = [event["id"] for event in receiver.taken]
    assert len(set(ids)) == 18
    assert len(receiver.asked) > 30
    versions = [event["data"]["model_version"] for event in receiver.taken[::3]]
    assert versions == ["v2", "v1"] * 3
    for body, signature in receiver.asked:
        assert read_event(body, signature, hook.secret)["id"] in ids
    entered = receiver.taken[1]["data"]
    assert (entered["segment"], entered["since"]) == ("best", "v1")
    assert entered["customers"] > 0
    assert "customer_id" not in json.dumps(receiver.taken)


def test_what_an_event_names_can_be_fetched(runs: Path) -> None:
    with receiving() as receiver, running(_settings(runs)) as client:
        outbox = Outbox(runs)
        outbox.add(receiver.url, events=["segment.entered"], segments=["best"], private=True)
        assert eventually(lambda: outbox.announced() == "v1")
        promote_bundle(runs, runs / "v2", "test")
        assert eventually(lambda: len(receiver.taken) == 1)
        data = receiver.taken[0]["data"]
        changes = client.get(data["changes"]).raise_for_status().json()
        assert changes["counts"]["entered"] == data["customers"]


def test_an_event_that_was_sent_but_not_noted_comes_again_under_its_id(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, killed = Outbox.delivered, iter([True])

    def delivered(self: Outbox, delivery: Delivery) -> None:
        if next(killed, False):
            raise StorageError("killed here")
        original(self, delivery)

    monkeypatch.setattr(Outbox, "delivered", delivered)
    with receiving() as receiver, running(_settings(runs)):
        outbox = Outbox(runs)
        outbox.add(receiver.url, events=["scores.promoted"], private=True)
        assert eventually(lambda: outbox.announced() == "v1")
        promote_bundle(runs, runs / "v2", "test")
        assert eventually(lambda: len(receiver.taken) == 2 and outbox.counts()["waiting"] == 0)
    assert receiver.taken[0] == receiver.taken[1]


def test_a_promotion_while_no_service_ran_is_told_afterwards(runs: Path) -> None:
    with receiving() as receiver:
        outbox = Outbox(runs)
        outbox.add(receiver.url, events=["scores.promoted"], private=True)
        with running(_settings(runs)):
            assert eventually(lambda: outbox.announced() == "v1")
        promote_bundle(runs, runs / "v2", "test")
        with running(_settings(runs)):
            assert eventually(lambda: len(receiver.taken) == 1)


def test_one_receiver_that_is_down_holds_up_no_other_and_is_listed_at_the_end(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "ATTEMPTS", 3)
    with receiving() as good, receiving(lambda _n, _event: (503, b"")) as bad, running(_settings(runs)):
        outbox = Outbox(runs)
        down = outbox.add(bad.url, events=["scores.promoted"], private=True)
        outbox.add(good.url, events=["scores.promoted"], private=True)
        assert eventually(lambda: outbox.announced() == "v1")
        for version in ("v2", "v1"):
            promote_bundle(runs, runs / version, "test")
            assert eventually(lambda version=version: outbox.announced() == version)
        assert eventually(lambda: outbox.counts() == {"waiting": 0, "dead": 2})
        assert [event["data"]["model_version"] for event in good.taken] == ["v2", "v1"]
        dead = outbox.dead()
        assert [(one.hook.id, one.attempts, one.last) for one in dead] == [(down.id, 3, "status 503")] * 2
        ids = [one.event for one in dead]
        before = len(bad.asked)
        assert outbox.replay(down.id) == 2
        assert eventually(lambda: outbox.counts()["dead"] == 2)
        again = [json.loads(body)["id"] for body, _ in bad.asked[before:]]
        assert list(dict.fromkeys(again)) == ids
        outbox.remove(down.id)
        assert outbox.counts() == {"waiting": 0, "dead": 0}


PRIVATE = [
    "http://127.0.0.1/",
    "http://localhost/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://10.0.0.1/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data",
    "http://100.64.0.1/",
    "http://0.0.0.0/",
    "http://[fd00::1]/",
    "http://224.0.0.1/",
]


@pytest.mark.parametrize("url", PRIVATE)
def test_an_address_that_is_not_public_is_refused_when_it_is_given(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--allow-private"):
        Outbox(tmp_path).add(url, events=["scores.promoted"])
    assert Outbox(tmp_path).add(url, events=["scores.promoted"], private=True).url == url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://", "no host"),
        ("https://hooks.example:99999/", "port"),
        ("https://[::1/", "no host"),
        ("https://user:secret@hooks.example/", "The signature says who sends"),
    ],
)
def test_an_address_that_cannot_be_sent_to_is_refused(url: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        Outbox(tmp_path).add(url, events=["scores.promoted"])
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", [*PRIVATE, "http://user:pass@127.0.0.1/"])
def test_an_address_that_is_not_public_is_never_connected_to(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("httpcore.SyncBackend.connect_tcp", lambda *_: pytest.fail("connected"))
    assert send(_delivery(url, private=False)) == "the address is not public"


def test_a_name_that_leads_elsewhere_the_second_time_is_connected_to_as_it_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter(["93.184.216.34", "127.0.0.1"])
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", (next(answers), 80))])
    connected: list[str] = []

    def connect(_self: object, host: str, *_: object) -> Any:
        connected.append(host)
        raise ConnectionRefusedError

    monkeypatch.setattr("httpcore.SyncBackend.connect_tcp", connect)
    assert send(_delivery("http://rebinding.example/", private=False)) == "ConnectionRefusedError"
    assert connected == ["93.184.216.34"]


def test_redirects_are_not_followed_and_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving(lambda _n, _event: (302, b"")) as receiver:
        assert send(_delivery(receiver.url, private=True)) == "status 302"
        assert len(receiver.asked) == 1
    with receiving(lambda _n, _event: (200, b"x" * 20_000_000)) as receiver:
        assert send(_delivery(receiver.url, private=True)) is None
    monkeypatch.setattr(sending, "_SECONDS", 0.2)
    slow = threading.Event()
    with receiving(lambda _n, _event: (200, bytes(slow.wait(2)))) as receiver:
        started = time.monotonic()
        assert send(_delivery(receiver.url, private=True)) == "ReadTimeout"
        assert time.monotonic() - started < 1.5
        slow.set()
    assert send(_delivery(receiver.url, private=True)) == "ConnectError"


def test_a_signature_is_checked_for_body_secret_and_age() -> None:
    body, now = b'{"id":"evt_1"}', 1_800_000_000
    shown = sending.signature("whsec_x", body, now)
    assert read_event(body, shown, "whsec_x", now=now + 10) == {"id": "evt_1"}
    for changed in (
        {"body": b'{"id":"evt_2"}'},
        {"secret": "whsec_y"},
        {"now": now + 1000.0},
        {"now": now - 1000.0},
        {"signature": "v1=0"},
        {"signature": ""},
        {"signature": shown.replace(str(now), str(now + 1))},
    ):
        given: dict[str, Any] = {
            "body": body, "signature": shown, "secret": "whsec_x", "now": float(now), **changed
        }  # fmt: skip
        with pytest.raises(SignatureError):
            read_event(given["body"], given["signature"], given["secret"], now=given["now"])


def test_a_clock_that_was_set_back_holds_nothing_up(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.add("https://hooks.example/", events=["scores.promoted"])
    outbox.announce("v1", [("scores.promoted", None, {})])
    (first,) = outbox.due(now=1_800_000_000.0)
    outbox.failed(first, "status 500", now=1_800_000_000.0)
    assert outbox.due(now=1_800_000_000.0) == []
    assert len(outbox.due(now=1_700_000_000.0)) == 1


def test_wrong_hooks_are_refused_and_a_damaged_outbox_is_said(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    with pytest.raises(ConfigError, match=r'no event "scores\.promotd"; did you mean "scores\.promoted"'):
        outbox.add("https://hooks.example/", events=["scores.promotd"])
    with pytest.raises(ConfigError, match="must begin with https"):
        outbox.add("ftp://hooks.example/", events=["scores.promoted"])
    assert outbox.hooks() == []
    outbox.add("https://hooks.example/", events=["scores.promoted"])
    assert (tmp_path / "hooks.sqlite").stat().st_mode & 0o077 == 0
    (tmp_path / "hooks.sqlite").write_bytes(b"nonsense" * 1000)
    with pytest.raises(StorageError, match="damaged"):
        outbox.hooks()


def test_hooks_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tributary.commands.hooks import hook

    def call(*arguments: str) -> str:
        hook.main([*arguments, "--runs", str(tmp_path)], standalone_mode=False)
        return capsys.readouterr().out

    assert call("list") == "No hooks.\n"
    made = json.loads(call("add", "https://hooks.example/x", "--event", "segment.left", "--json"))
    assert made["secret"].startswith("whsec_")
    (listed,) = json.loads(call("list", "--json"))
    assert (listed["id"], listed["events"]) == (made["id"], ["segment.left"])
    assert "secret" not in listed
    assert "Nothing was given up" in call("dead")
    assert "0 deliveries" in call("replay")
    assert made["id"] in call("remove", made["id"])
    assert call("list") == "No hooks.\n"
