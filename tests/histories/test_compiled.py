"""Machine code is kept where it can be written, and what an installation brings is not compiled again."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba.core import caching

SOURCE = """
from histories.compiled import compiled

@compiled
def doubled(values):
    return 2.0 * values
"""


def loaded(path: Path) -> Any:
    """The module in a file, imported anew."""
    spec = importlib.util.spec_from_file_location("loops", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.doubled


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "package"
    package.mkdir()
    (package / "loops.py").write_text(SOURCE)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return package / "loops.py"


def read_only(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Let numba find that these folders cannot be written (the tests may run as root, who can)."""
    ensure = caching._CacheLocator.ensure_cache_path

    def refused(locator: Any) -> None:
        if any(Path(locator.get_cache_path()).is_relative_to(folder) for folder in folders):
            raise PermissionError("read-only")
        ensure(locator)

    monkeypatch.setattr(caching._CacheLocator, "ensure_cache_path", refused)


def test_machine_code_is_kept_beside_its_source(source: Path) -> None:
    doubled = loaded(source)
    assert doubled(np.ones(1))[0] == 2.0
    assert list(source.parent.glob("__pycache__/loops.doubled-*.nbc"))
    again = loaded(source)
    again(np.ones(1))
    assert sum(again.stats.cache_hits.values()) == 1


def test_a_package_that_cannot_be_written_brings_its_code_to_the_users_folder(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(source)(np.ones(1))
    read_only(monkeypatch, source.parent)
    doubled = loaded(source)
    assert Path(doubled.stats.cache_path).is_relative_to(tmp_path / "home")
    doubled(np.ones(1))
    assert sum(doubled.stats.cache_hits.values()) == 1  # brought along, not compiled again
    doubled(np.ones((1, 1)))  # what is new is compiled and kept there
    assert len(list(Path(doubled.stats.cache_path).glob("*.nbc"))) == 2


def test_without_any_home_machine_code_is_kept_in_a_folder_of_ones_own(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    read_only(monkeypatch, source.parent, tmp_path / "home")
    doubled = loaded(source)
    folder = Path(doubled.stats.cache_path).parent
    assert folder.parent == temporary
    assert folder.stat().st_mode & 0o077 == 0
    assert doubled(np.ones(1))[0] == 2.0


def test_a_folder_that_others_can_write_to_is_not_trusted(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    read_only(monkeypatch, source.parent, tmp_path / "home")
    first = Path(loaded(source).stats.cache_path).parent
    first.chmod(0o777)
    assert Path(loaded(source).stats.cache_path).parent == first  # already in use by this process
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    assert Path(loaded(source).stats.cache_path).parent != first
