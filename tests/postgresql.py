"""A PostgreSQL of the tests' own, on a free port of this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def running_postgresql(home: Path) -> Iterator[str]:
    """Host, port and database, e.g. `postgres@127.0.0.1:5432/postgres`, until the block ends.

    PostgreSQL does not run as root, so as `postgres` where we are.
    """
    port = free_port()
    as_user: dict[str, Any] = {"cwd": home}
    if os.getuid() == 0:
        as_user["user"] = "postgres"
        shutil.chown(home, "postgres")
        for parent in home.parents[:3]:
            parent.chmod(0o755)
    data = home / "data"
    subprocess.run(
        ["initdb", "-D", str(data), "-U", "postgres", "-A", "trust"],
        check=True,
        capture_output=True,
        **as_user,
    )
    options = f"-p {port} -k {home} -h 127.0.0.1"
    control = ["pg_ctl", "-D", str(data), "-w", "-l", str(home / "log")]
    subprocess.run([*control, "-o", options, "start"], check=True, capture_output=True, **as_user)
    yield f"postgres@127.0.0.1:{port}/postgres"
    os.kill(int((data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGINT)
