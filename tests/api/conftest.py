from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.keys import create_key
from api.settings import Settings
from tests.running import running
from tests.sample_bundle import write_sample


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample(tmp_path_factory.mktemp("bundles") / "sample")


@pytest.fixture(scope="session")
def service(sample: Path) -> Iterator[httpx.Client]:
    """Without keys, as on a developer's machine."""
    with running(bundle=sample) as client:
        yield client


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One key for each scope, and the path of their file."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    made = {
        scope: create_key(path, scopes=[scope], name=scope)[0]
        for scope in ("read", "batch", "erase", "admin")
    }
    return {**made, "path": str(path)}


@pytest.fixture(scope="session")
def guarded(sample: Path, keys: dict[str, str]) -> Iterator[httpx.Client]:
    """With keys."""
    with running(Settings(keys=Path(keys["path"]), access_log=False), bundle=sample) as client:
        yield client
