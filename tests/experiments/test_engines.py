"""A run finds the same whatever computes it, keeps to the disk it was given, and leaves nothing behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from experiments.config import RunConfig, load_config, parse_config
from experiments.engine import Progress, workplace
from experiments.inputs import read_inputs
from experiments.parts.histories import build_histories
from experiments.parts.incremental import company_panel
from experiments.parts.part import attempt
from experiments.parts.walking import Walking
from experiments.run import Findings, find, run_experiment
from histories.engines.base import Engine, Local
from histories.engines.spilled import Spilled
from histories.errors import ConfigError, StorageError
from tests.experiments.small import TREE, merged, small_company

EVERYTHING: dict[str, Any] = {
    "attribution": {
        "methods": ["last", "linear", "time_decay", "markov", "shapley"],
        "outcomes": ["conversion", "spend", "retention", "retention_periods", "repeat_purchase"],
        "segments": ["region"],
    }
}
"""Every outcome that has journeys, by a rule of each kind, whole and by segment."""


def company() -> dict[str, str]:
    """The small company with a giant, equal instants, and customers who only bought, met or signed up."""
    tables = small_company(40)
    giant = [f"7,2025-{1 + day % 12:02}-{1 + day % 28:02} 09:00:00,{day}.5,g{day}" for day in range(200)]
    met = [f"7,2025-{1 + day % 12:02}-{1 + day % 28:02} 09:00:00,forum,community,,1" for day in range(300)]
    return tables | {
        "transactions": tables["transactions"] + "\n".join([*giant, "900,2025-03-01 10:00:00,5,n1"]) + "\n",
        "touchpoints": tables["touchpoints"]
        + "\n".join([*met, "901,2025-03-01 10:00:00,chat,care,,1"])
        + "\n",
        "customers": tables["customers"] + "".join(f"{n},2025-02-01,north,web,9\n" for n in (900, 901, 902)),
    }


def configure(folder: Path, tables: Mapping[str, str], tree: Mapping[str, Any]) -> RunConfig:
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return parse_config(
        {**merged(TREE, tree), "inputs": {name: f"{name}.csv" for name in tables}}, base_dir=folder
    )


def find_with(config: RunConfig, engine: Engine) -> Findings:
    return find(config, build_histories(config, read_inputs(config), engine=engine))


def assert_same(found: Findings, whole: Findings) -> None:
    assert found.left_out == whole.left_out
    assert found.notes == whole.notes
    assert found.tables.keys() == whole.tables.keys()
    for name, frame in whole.tables.items():
        assert_frame_equal(found.tables[name], frame, rel_tol=1e-9, abs_tol=1e-9)
    assert (
        found.large.keys() == whole.large.keys() == {"cases", "customer_credits", "purchases", "touchpoints"}
    )
    for name, rows in whole.large.items():
        frame, other = rows.collect(), found.large[name].collect()
        assert not frame.is_empty()
        if name != "customer_credits":  # which stand by outcome first
            assert other["customer_id"].to_list() == frame["customer_id"].to_list()
        assert_frame_equal(other.sort(other.columns), frame.sort(frame.columns), rel_tol=1e-9, abs_tol=1e-9)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    return configure(tmp_path_factory.mktemp("company"), company(), EVERYTHING)


@pytest.fixture(scope="module")
def whole(config: RunConfig) -> Findings:
    return find_with(config, Local())


def test_a_run_by_buckets_finds_what_a_run_in_memory_does(
    config: RunConfig, whole: Findings, tmp_path: Path
) -> None:
    assert_same(find_with(config, Spilled(tmp_path, memory=1, buckets=5)), whole)


def write_tables(folder: Path) -> None:
    """Every table that a run finds, as files."""
    found = find_with(configure(folder, company(), EVERYTHING), Local())
    for name, rows in {**found.tables, **found.large}.items():
        rows.lazy().collect().write_parquet(folder / f"{name}.parquet")


def test_a_run_finds_the_same_with_more_threads(whole: Findings, tmp_path: Path) -> None:
    call = f"from {__name__} import *; write_tables(Path({str(tmp_path)!r}))"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", call],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "POLARS_MAX_THREADS": "4"},
        check=True,
    )
    for name, frame in {**whole.tables, **whole.large}.items():
        found = pl.read_parquet(tmp_path / f"{name}.parquet")
        assert_frame_equal(found, frame.lazy().collect(), rel_tol=1e-9, abs_tol=1e-9)


def test_a_company_where_customers_say_that_they_leave_is_split_too(tmp_path: Path) -> None:
    tables = small_company(40)
    header, *rows = tables["customers"].splitlines()
    ends = ["2025-09-15" if number % 3 else "" for number in range(len(rows))]
    lines = [f"{row},{end}" for row, end in zip(rows, ends, strict=True)]
    tables["customers"] = "\n".join([f"{header},ended_at", *lines]) + "\n"
    tree = {"methods": ["last", "markov"], "outcomes": ["retention", "retention_periods"]}
    config = configure(tmp_path, tables, {"attribution": tree})
    whole = find_with(config, Local())
    assert "retention" in whole.tables["credits"]["outcome"]
    assert_same(find_with(config, Spilled(tmp_path / "spill", memory=1, buckets=2)), whole)


@pytest.mark.parametrize("contractual", [False, True])
def test_the_panel_of_buckets_is_that_of_all_customers(tmp_path: Path, contractual: bool) -> None:
    tables = company()
    if contractual:
        header, *rows = tables["customers"].splitlines()
        ends = ["2025-09-15" if number % 3 else "" for number in range(len(rows))]
        lines = [f"{row},{end}" for row, end in zip(rows, ends, strict=True)]
        tables["customers"] = "\n".join([f"{header},ended_at", *lines]) + "\n"
    config = configure(tmp_path, tables, {"attribution": {"confounders": ["region", "csat"]}})
    inputs = read_inputs(config)
    whole, parts = (
        company_panel(config, build_histories(config, inputs, engine=engine), ("forum", "chat", "newsletter"))
        for engine in (Local(), Spilled(tmp_path / "spill", memory=1, buckets=5))
    )
    assert whole.n_customers > 30
    assert whole.contractual == contractual
    assert whole.covariate_names == ("region=north",) or whole.covariate_names == ("region=south",)
    assert any("after the end of their contract" in note for note in whole.notes) == contractual
    for field in fields(whole):
        one, other = getattr(whole, field.name), getattr(parts, field.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(other, one, err_msg=field.name, strict=True)
        elif isinstance(one, pl.Series):
            assert other.equals(one)
        else:
            assert other == one, field.name


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The third bucket that is written finds no space."""
    written = [0]

    def write(*args: Any, **options: Any) -> None:
        written[0] += 1
        if written[0] == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(*args, **options)

    from histories.engines.spilled import Stored

    original = Stored.write
    monkeypatch.setattr(Stored, "write", write)
    yield
    assert written[0] == 3


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_ends_a_run_with_one_sentence_and_leaves_nothing(
    config: RunConfig, tmp_path: Path, mlruns: Path
) -> None:
    with pytest.raises(StorageError, match="Free space, then repeat"):
        run_experiment(config, runs=tmp_path / "runs", mlruns=mlruns, memory="4MB")
    left = [path.name for path in (tmp_path / "runs").iterdir() if not path.name.endswith(".lock")]
    assert left == []


def test_a_run_within_a_memory_limit_leaves_its_bundle_and_no_bucket(tmp_path: Path, mlruns: Path) -> None:
    config = configure(tmp_path, company(), {})
    told: list[str] = []
    result = run_experiment(config, runs=tmp_path / "runs", mlruns=mlruns, memory="1600KB", step=told.append)
    assert not list((tmp_path / "runs").glob(".spill-*"))
    touches = pl.read_parquet(result.bundle / "touchpoints.parquet")
    assert touches.height == 300 + company()["touchpoints"].count("\n") - 301
    assert touches["customer_id"].is_sorted()
    assert "Crediting channels" in told
    summary = dict(result.summary.iter_rows())
    assert int(summary["purchases"]) == pl.read_parquet(result.bundle / "purchases.parquet").height


KILLED = """
import os, signal, sys
from pathlib import Path
from experiments.config import load_config
from experiments.parts.walking import Walking
from experiments.run import run_experiment

def to_purchases(self, tables, made=Walking.to_purchases, done=[]):
    done.append(1)
    if len(done) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return made(self, tables)

Walking.to_purchases = to_purchases
folder = Path(sys.argv[1])
run_experiment(load_config(folder / "c.toml"), runs=folder / "runs", mlruns=folder / "mlruns", memory="640KB")
"""


def test_a_killed_run_goes_on_from_the_buckets_that_it_had_finished(
    tmp_path: Path, mlruns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in company().items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    tables = "\n".join(f'{name} = "{name}.csv"' for name in company())
    (tmp_path / "c.toml").write_text(
        'observation_end = 2025-12-31\n[value]\nmodels = []\n[attribution]\nmethods = ["linear"]\n'
        f"[inputs]\n{tables}\n"
    )
    call = [sys.executable, "-c", KILLED, str(tmp_path)]
    done = subprocess.run(call, cwd=Path(__file__).parents[2], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    [left] = (tmp_path / "runs").glob(".spill-*")

    walked: list[int] = []
    original = Walking.to_purchases

    def to_purchases(self: Walking, tables: Any) -> Any:
        walked.append(1)
        return original(self, tables)

    monkeypatch.setattr(Walking, "to_purchases", to_purchases)
    config = load_config(tmp_path / "c.toml")
    where = {"runs": tmp_path / "runs", "mlruns": mlruns}
    went_on = run_experiment(config, **where, memory="640KB")
    gone_on, walked[:] = len(walked), []
    assert not left.exists()
    anew = run_experiment(config, **where, memory="640KB")
    assert len(walked) == gone_on + 2 > 3
    for name in ("credits", "paths", "purchases", "touchpoints", "customer_credits"):
        tables_ = [pl.read_parquet(run.bundle / f"{name}.parquet") for run in (went_on, anew)]
        assert_frame_equal(*tables_)
    assert not list((tmp_path / "runs").glob(".spill-*"))


def test_memory_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match='--memory: memory is "plenty"; allowed: a number with KB'),
        workplace("local", memory="plenty", runs=tmp_path),
    ):
        pass


def test_progress_says_what_is_left_and_not_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("experiments.engine.time.monotonic", lambda: now[0])
    told: list[str] = []
    progress = Progress(told.append)
    progress("Crediting channels")
    for done in range(5):
        progress.told(done, 4)
        now[0] += 4.0
    assert told == ["Crediting channels", "Crediting channels: 2 of 4 buckets, about 8 s left"]


def test_a_full_disk_is_no_part_that_may_fail() -> None:
    def fail() -> None:
        raise StorageError("The folder of buckets could not be written.", full=True)

    with pytest.raises(StorageError):
        attempt({}, "journeys", fail)
