"""Runs are kept by a tracking server as well: one with PostgreSQL behind it, both started here."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.config import parse_config
from experiments.registering import set_champion
from experiments.registry import find_run, list_runs
from experiments.run import run_experiment
from experiments.tracking import connect
from tests.experiments.test_run import CDNOW
from tests.postgresql import free_port, running_postgresql

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("initdb") is None, reason="PostgreSQL is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("psycopg2") is None, reason="psycopg2 is not installed"),
    pytest.mark.skipif(os.name != "posix", reason="starts processes as another user"),
]


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_postgresql(tmp_path_factory.mktemp("postgresql")) as place:
        yield f"postgresql+psycopg2://{place}"


@pytest.fixture(scope="module")
def server(postgresql: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home, port = tmp_path_factory.mktemp("server"), free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", postgresql, "--artifacts-destination", str(home), "--workers", "1"]
    with (home / "log").open("w") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=2)
                break
            except OSError:
                time.sleep(1)
        else:
            pytest.fail((home / "log").read_text()[-2000:])
        yield address
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.wait(timeout=20)


def test_a_run_is_kept_found_and_promoted_on_a_server(server: str, tmp_path: Path) -> None:
    store = Path(server)
    result = run_experiment(parse_config(CDNOW), runs=tmp_path / "runs", mlruns=store)
    (run,) = list_runs(store)
    assert run.run_id == result.run_id
    assert run.metrics["holdout.total_predicted"] == pytest.approx(1653.4, abs=0.5)
    assert list(run.datasets) == ["transactions"]
    set_champion("cdnow", result.run_id, mlruns=store)
    assert find_run(store, result.run_id[:8]).champion
    version = connect(store).get_model_version_by_alias("cdnow", "champion")
    code = (
        "import mlflow, pandas as pd\n"
        f"mlflow.set_tracking_uri({server!r})\n"
        "model = mlflow.pyfunc.load_model('models:/cdnow@champion')\n"
        "frame = pd.DataFrame({'frequency': [2.0], 'recency': [30.43], 'T': [38.86]})\n"
        "assert model.predict(frame)['expected_purchases'][0] > 0\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert version.run_id == result.run_id
