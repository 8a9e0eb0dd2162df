"""A migrated MLflow store, made once: each test copies it instead of waiting for the migrations."""

import shutil
from pathlib import Path

import pytest

from experiments.tracking import connect


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "mlruns"
    connect(folder).search_experiments()
    return folder


@pytest.fixture
def mlruns(tmp_path: Path, empty_store: Path) -> Path:
    return Path(shutil.copytree(empty_store, tmp_path / "mlruns"))
