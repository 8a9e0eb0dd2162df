"""The loops that run as machine code are right as plain Python too, where no index may be out of range."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.uncompiled import figures

ROOT = Path(__file__).parents[1]
SAME = 1e-6
"""Machine code may add in another order; the fits of both then end within their tolerance."""


def test_every_loop_gives_the_same_without_machine_code() -> None:
    plain = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.uncompiled"],
        cwd=ROOT,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert plain.returncode == 0, plain.stderr[-2000:]
    found = json.loads(plain.stdout)
    for name, values in figures().items():
        assert found[name] == pytest.approx(values, rel=SAME, abs=SAME), name


def test_no_module_compiles_loops_but_through_the_one_decorator() -> None:
    packages = ("histories", "clv", "attribution", "care", "reports", "experiments", "api", "tributary")
    files = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    direct = {path.relative_to(ROOT).as_posix() for path in files if re.search(r"\bnjit\b", path.read_text())}
    assert direct == {"histories/compiled.py"}
