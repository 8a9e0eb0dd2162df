"""`--memory` is kept: a run lives within a cgroup of that size in which the same run in memory is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from benchmarks.scale import plain_company

CUSTOMERS = 40_000
MEMORY = 1024**3
GROUPS = Path("/sys/fs/cgroup")
RUN = """
import os, sys
from pathlib import Path
Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
from tributary.cli import main
main(sys.argv[2:])
"""


@dataclass(frozen=True)
class Wall:
    """A cgroup with a limit, of either version of the interface."""

    folder: Path
    peak: str

    def read_peak(self) -> int:
        return int((self.folder / self.peak).read_text())


@pytest.fixture
def wall() -> Iterator[Wall]:
    first = GROUPS / "memory"
    home, limit, peak, swap = (
        (first, "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.memsw.limit_in_bytes")
        if first.is_dir()
        else (GROUPS, "memory.max", "memory.peak", "memory.swap.max")
    )
    folder = home / f"tributary-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / limit).write_text(str(MEMORY))
        if (folder / swap).exists():
            (folder / swap).write_text(str(MEMORY) if first.is_dir() else "0")
    except OSError as error:
        if folder.is_dir():
            folder.rmdir()
        pytest.skip(f"needs a memory cgroup that may be written ({error.strerror})")
    yield Wall(folder, peak)
    folder.rmdir()


def run(wall: Wall, company: Path, work: Path, *options: str) -> int:
    """Exit status of a run inside the wall."""
    call = [sys.executable, "-c", RUN, str(wall.folder), "run", str(company / "tributary.toml")]
    call += ["--runs", str(work / "runs"), "--mlruns", str(work / "mlruns"), "--out", str(work / "bundle")]
    return subprocess.run(
        [*call, *options], cwd=Path(__file__).parents[2], capture_output=True, check=False
    ).returncode


@pytest.mark.slow
def test_a_run_stays_within_its_memory_where_one_without_a_limit_is_killed(
    wall: Wall, tmp_path: Path, mlruns: Path
) -> None:
    company = plain_company(tmp_path, CUSTOMERS)
    assert run(wall, company, tmp_path) == -signal.SIGKILL
    assert run(wall, company, tmp_path, "--memory", "1GB") == 0
    assert wall.read_peak() <= MEMORY
    customers = pl.read_parquet(tmp_path / "bundle" / "customers.parquet")
    assert customers.height == CUSTOMERS
    manifest = (tmp_path / "bundle" / "manifest.json").read_text()
    assert "MB are too few" not in manifest
