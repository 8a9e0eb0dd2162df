"""The data scientists' tutorial runs as it is written, block by block, in one folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial-data-scientists.md"
#: Lines that switch on what a test has, enter its folder, or start a server that stays.
LEFT_OUT = (". .venv/bin/activate", "cd demo/company", "mlflow ui", "mlflow models serve")
#: A run of a test has fewer draws; what the tutorial says is not changed by it.
QUICK = tuple(
    word
    for setting in (
        "value.posterior_draws=200",
        "value.origins=1",
        "value.challenger=false",
        'value.models=["bg_nbd", "mbg_nbd"]',
        'attribution.methods=["last"]',
    )
    for word in ("--set", setting)
)


def blocks() -> Iterator[tuple[str, str]]:
    """Language and content of each block, in order."""
    for language, content in re.findall(r"^```(\w*)\n(.*?)^```$", TUTORIAL.read_text(), re.S | re.M):
        yield language or "shell", content


def command(line: str, runs: Path) -> str:
    """A line as it is run: RUN stands for the run made last, and the one before where it comes twice."""
    asked = line.count("RUN")
    made = sorted(runs.glob("*-*"), key=lambda path: path.stat().st_mtime)[-asked:] if asked else []
    for path in reversed(made):
        line = line.replace("RUN", f"runs/{path.name}", 1)
    if line.startswith(("tributary run ", "tributary sweep ")):
        line = " ".join([line, *(f"'{word}'" for word in QUICK)])
    return line


def shell(block: str, folder: Path) -> None:
    """Run the lines of a block."""
    tools = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for line in block.splitlines():
        if line.startswith((*LEFT_OUT, "export ")):
            continue
        done = subprocess.run(
            ["bash", "-c", command(line, folder / "runs")],
            cwd=folder,
            env=os.environ | tools,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-800:]}\n{done.stderr[-800:]}"


@pytest.mark.slow
def test_the_tutorial_runs_from_its_first_command_to_its_last_line(tmp_path: Path) -> None:
    shell("tributary simulate --customers 400 --months 14 --seed 3 --out company", tmp_path)
    folder = tmp_path / "company"
    pl.DataFrame(
        {
            "segment": ["Mens E-Mail", "No E-Mail"] * 100,
            "visit": [1, 0, 0, 0] * 50,
            "spend": [0.0, 1.0, 2.0, 0.0, 5.0] * 40,
            "history": [float(n % 17) for n in range(200)],
        }
    ).write_parquet(folder / "hillstrom_email.parquet")
    name = re.search(r'^name = "(.*)"', (folder / "tributary.toml").read_text(), re.M)
    python = ""
    for language, block in blocks():
        if language == "shell":
            shell(block, folder)
        elif language == "python":
            python += block.replace("NAME", name[1] if name else "tributary") + "\n"
    done = subprocess.run(
        [sys.executable, "-c", python], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_tutorial_has_what_the_test_runs() -> None:
    found = [language for language, _ in blocks()]
    assert found.count("shell") >= 5
    assert found.count("python") >= 6
