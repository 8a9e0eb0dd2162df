"""The service as a process of its own: several workers, one of them killed, and a clean end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.keys import create_key
from experiments.champion import promote_bundle
from tests.running import eventually
from tests.sample_bundle import write_sample
from tributary.client import Client


@contextlib.contextmanager
def serving(runs: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from tributary.cli import main; main()"]
    command += ["serve", "--runs", str(runs), "--port", str(port), *options]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        with httpx.Client(base_url=url, verify=False) as client:  # no certificates are read for it
            assert eventually(lambda: _is_ready(client), seconds=90)
        yield process, url
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        finally:
            process.kill()
            process.stderr.close()  # type: ignore[union-attr]


def _is_ready(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return client.get("/health/ready").status_code == 200
    return False


def _children(pid: int) -> list[int]:
    """Processes started by this one that run a worker."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == pid and b"spawn_main" in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


@pytest.mark.slow
def test_a_worker_killed_under_load_is_replaced_and_no_patient_client_notices(tmp_path: Path) -> None:
    promote_bundle(tmp_path, write_sample(tmp_path / "v1"), "test")
    with serving(tmp_path, "--workers", "2", "--no-access-log") as (process, url):
        failed: list[BaseException] = []
        done = [0]
        stop = threading.Event()

        def ask() -> None:
            try:
                with Client(url, retries=8) as client:
                    while not stop.is_set() and done[0] < 20_000:
                        assert client.value(7)["customer_id"] == "7"
                        done[0] += 1
            except BaseException as error:
                failed.append(error)

        askers = [threading.Thread(target=ask) for _ in range(3)]
        for asker in askers:
            asker.start()
        workers = _children(process.pid)
        assert len(workers) == 2
        time.sleep(0.5)
        os.kill(workers[0], signal.SIGKILL)
        assert eventually(lambda: len(set(_children(process.pid)) - set(workers)) == 1, seconds=60)
        before = done[0]
        assert eventually(lambda: done[0] > before + 200, seconds=60)
        stop.set()
        for asker in askers:
            asker.join()
        assert failed == []
        assert 'route="/v1/customers/{customer_id}/value"' in httpx.get(f"{url}/metrics").text


def test_a_keys_limit_and_its_use_are_counted_over_all_workers(tmp_path: Path) -> None:
    promote_bundle(tmp_path, write_sample(tmp_path / "v1"), "test")
    keys = tmp_path / "keys.json"
    key, kept = create_key(keys, scopes=["read"], name="crm", rate_limit=60)
    with serving(tmp_path, "--workers", "2", "--no-access-log", "--keys", str(keys)) as (process, url):
        assert eventually(lambda: len(_children(process.pid)) == 2)
        began = time.monotonic()
        with httpx.Client(
            base_url=url, verify=False, limits=httpx.Limits(max_keepalive_connections=0)
        ) as client:
            answers = [
                client.get("/v1/customers/7/value", headers={"authorization": f"Bearer {key}"})
                for _ in range(150)  # a new connection each, so that both workers are asked
            ]
        allowed = sum(answer.status_code == 200 for answer in answers)
        assert 60 <= allowed <= 61 + (time.monotonic() - began)
        assert (
            f'tributary_key_requests_total{{key_id="{kept.key_id}"}} 150.0'
            in httpx.get(f"{url}/metrics").text
        )


def test_the_service_ends_cleanly_and_finishes_what_it_began(tmp_path: Path) -> None:
    promote_bundle(tmp_path, write_sample(tmp_path / "v1"), "test")
    with serving(tmp_path, "--no-access-log") as (process, url):
        body = b'{"ids": ["7"]}'
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            head = b"POST /v1/customers/values HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            connection.sendall(head + b"content-length: %d\r\n\r\n" % len(body))
            time.sleep(0.3)
            process.terminate()
            time.sleep(0.3)
            connection.sendall(body)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert process.wait(timeout=30) in (0, -signal.SIGTERM)
