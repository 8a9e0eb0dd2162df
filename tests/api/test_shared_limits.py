"""Limits over services on several machines, counted by a Redis server that really runs."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.keys import create_key
from api.limits import RedisLimiter, draw
from api.settings import Settings
from experiments.bundle.reading import load_bundle
from histories.errors import ConfigError
from tests.running import eventually, running

pytest.importorskip("redis", reason="the client of Redis is not installed")
needs_server = pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server is installed")


class Server:
    """A Redis server on a free port, which can be ended and begun again."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._folder = folder
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._process = subprocess.Popen(
            [*command, "--dir", str(self._folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert eventually(self._answers)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path)
    yield found
    found.stop()


def _limiter(url: str, events: list[str] | None = None, **options: Any) -> RedisLimiter:
    told = events if events is not None else []
    return RedisLimiter(url, notice=lambda event, _: told.append(event), **options)


@needs_server
def test_two_services_count_together_and_as_one_would(server: Server) -> None:
    async def ask() -> list[Any]:
        first, second = _limiter(server.url), _limiter(server.url)
        taken = [await (first if i % 2 else second).take("a", 6) for i in range(8)]
        taken.append(await first.take("b", 6))
        await asyncio.gather(first.close(), second.close())
        return taken

    *of_a, of_b = asyncio.run(ask())
    level, expected = 6.0, []
    for _ in range(8):
        level, allowance = draw(level, 0.0, 0.0, 6)
        expected.append(allowance)
    assert of_a == expected
    assert of_b.remaining == 5


@needs_server
def test_a_bucket_fills_by_the_servers_clock(server: Server) -> None:
    async def ask() -> tuple[Any, Any]:
        limiter = _limiter(server.url)
        for _ in range(600):
            await limiter.take("a", 600)
        emptied = await limiter.take("a", 60_000)  # a higher limit fills the same bucket faster
        time.sleep(0.05)
        later = await limiter.take("a", 60_000)
        await limiter.close()
        return emptied, later

    emptied, later = asyncio.run(ask())
    assert later.remaining >= emptied.remaining + 49 - 1


@needs_server
def test_while_the_server_is_gone_each_service_counts_for_itself_and_says_so_once(server: Server) -> None:
    now, events = [0.0], []

    async def ask() -> list[bool]:
        limiter = _limiter(server.url, events, clock=lambda: now[0])
        allowed = [(await limiter.take("a", 2)).allowed]
        server.stop()
        allowed += [(await limiter.take("a", 2)).allowed for _ in range(3)]
        assert events == ["limits_unreachable"]
        server.start()
        now[0] += 60
        allowed.append((await limiter.take("a", 2)).allowed)
        await limiter.close()
        return allowed

    assert asyncio.run(ask()) == [True, True, True, False, True]
    assert events == ["limits_unreachable", "limits_reached"]


@needs_server
def test_a_server_that_hangs_holds_up_nobody(server: Server) -> None:
    events: list[str] = []

    async def ask() -> None:
        limiter = _limiter(server.url, events)
        await limiter.take("a", 9)
        server.pause()
        for _ in range(5):
            await limiter.take("a", 9)
        await limiter.close()

    asyncio.run(asyncio.wait_for(ask(), timeout=10))
    assert events == ["limits_unreachable"]


@needs_server
def test_the_services_answers_carry_what_is_left(server: Server, sample: Path, tmp_path: Path) -> None:
    key, _ = create_key(tmp_path / "keys.json", scopes=["read"], rate_limit=3)
    settings = Settings(keys=tmp_path / "keys.json", limits=server.url, access_log=False)
    statuses = []
    for _ in range(2):
        with running(app=create_app(settings, load_bundle(sample))) as client:
            client.headers["authorization"] = f"Bearer {key}"
            answers = [client.get("/v1/customers/7/value") for _ in range(2)]
            statuses += [(answer.status_code, answer.headers["ratelimit-remaining"]) for answer in answers]
    assert statuses == [(200, "2"), (200, "1"), (200, "0"), (429, "0")]


def test_a_wrong_address_is_refused_by_name_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="not an address of Redis") as refused:
        _limiter("http://user:secret@host")
    assert "secret" not in str(refused.value)
