"""A migrated MLflow store, made once for all workers: a test copies it and waits for no migration."""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from experiments.tracking import connect


def pytest_configure() -> None:
    """What is imported and collected stays to the end: the garbage collector need not look at it.

    Nor need it look at what a test makes at every turn: a tenth of the looks find as much.
    """
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(20_000, 20, 10)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a run keeps to the end of its process goes with the tests' files: a worker has no such end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("temporary")))
        yield


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "empty-store" / "mlruns"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.parent / "made.lock"):
        if not folder.exists():
            connect(folder).search_experiments()
    return folder


@pytest.fixture
def mlruns(tmp_path: Path, empty_store: Path) -> Path:
    return Path(shutil.copytree(empty_store, tmp_path / "mlruns"))
