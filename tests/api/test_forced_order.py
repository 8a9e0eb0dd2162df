"""Bundles exchanged at a chosen moment of being opened: figures stay with their customers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from api.settings import Settings
from api.watcher import Watcher
from experiments.bundle.reading import load_bundle
from experiments.champion import promote_bundle
from experiments.erasure import is_known
from experiments.rewriting import forget_customer
from histories.errors import BundleError
from tests.sample_bundle import sample_customers, write_sample

N = 12
EXPECTED = {str(row["customer_id"]): row["total_value"] for row in sample_customers(N).to_dicts()}


def _at_step(monkeypatch: pytest.MonkeyPatch, step: int | None, act: Callable[[], Any]) -> Callable[[], int]:
    """Do something just before the given opening of a file; gives the number of openings so far."""
    count, busy = 0, False

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **options: Any) -> Any:
            nonlocal count, busy
            if not busy:
                count += 1
                if count == step:
                    busy = True
                    act()
                    busy = False
            return original(*args, **options)

        return wrapper

    for owner, name in ((Path, "read_bytes"), (Path, "open"), (np, "load"), (pl, "read_parquet")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))
    return lambda: count


def _assert_right(watcher: Watcher, gone: set[str]) -> None:
    served = watcher.snapshot()
    assert served is not None
    found = {name: served.find(name) for name in EXPECTED}
    values = {name: served.store.score(row)["total_value"] for name, row in found.items() if row >= 0}
    assert values == {name: value for name, value in EXPECTED.items() if name not in gone}


def _openings(tmp_path: Path) -> int:
    promote_bundle(tmp_path, write_sample(tmp_path / "v1", n=N), "test")
    with pytest.MonkeyPatch.context() as patch:
        count = _at_step(patch, None, lambda: None)
        Watcher(Settings(runs=tmp_path)).reload()
        return count()


def _erase_at(tmp_path: Path, step: int) -> None:
    promote_bundle(tmp_path, write_sample(tmp_path / "v1", n=N), "test")
    watcher = Watcher(Settings(runs=tmp_path))
    with pytest.MonkeyPatch.context() as patch:
        _at_step(patch, step, lambda: forget_customer(tmp_path, "3", who="test"))
        watcher.reload()
    _assert_right(watcher, {"3"})


@pytest.mark.parametrize("part", range(6))
def test_an_erasure_in_the_midst_of_a_load_shifts_nobodys_figures(tmp_path: Path, part: int) -> None:
    total = _openings(tmp_path / "counted")
    assert total > 100  # checksums, columns, tables
    _erase_at(tmp_path / "tried", 1 + part * (total - 1) // 5)


@pytest.mark.slow
def test_an_erasure_at_any_step_of_a_load_shifts_nobodys_figures(tmp_path: Path) -> None:
    for step in range(1, _openings(tmp_path / "counted") + 1):
        _erase_at(tmp_path / str(step), step)


def test_a_bundle_that_is_erased_from_each_time_it_is_read_is_refused_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote_bundle(tmp_path, write_sample(tmp_path / "v1", n=N), "test")
    left = iter(["1", "2", "3", "4"])

    def exchange(*args: Any, **options: Any) -> Any:
        name = next(left, None)
        if name is not None:
            forget_customer(tmp_path, name, who="test")
        return original(*args, **options)

    from experiments.bundle import serving

    original = serving.open_key
    monkeypatch.setattr(serving, "open_key", exchange)
    monkeypatch.setattr("experiments.bundle.reading._READINGS", 1)
    watcher = Watcher(Settings(runs=tmp_path, watch_seconds=0.01))
    with pytest.raises(BundleError, match="was exchanged"):
        watcher.reload()
    assert "exchanged" in str(watcher.refusal)
    monkeypatch.setattr("experiments.bundle.reading._READINGS", 10)
    watcher.look()
    _assert_right(watcher, {"1", "2", "3", "4"})
    assert watcher.refusal is None


def test_a_promotion_in_the_midst_of_a_load_gives_one_of_the_two_bundles_whole(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_sample(tmp_path / f"v{seed}", n=N, seed=seed, version=f"v{seed}")
    values = {
        f"v{seed}": {
            str(r["customer_id"]): r["total_value"] for r in sample_customers(N, seed=seed).to_dicts()
        }
        for seed in (1, 2)
    }
    promote_bundle(tmp_path, tmp_path / "v1", "test")
    for step in (1, 30, 60, 90, 120):
        promote_bundle(tmp_path, tmp_path / "v1", "test")
        watcher = Watcher(Settings(runs=tmp_path))
        with pytest.MonkeyPatch.context() as patch:
            _at_step(patch, step, lambda: promote_bundle(tmp_path, tmp_path / "v2", "test"))
            watcher.reload()
        served = watcher.snapshot()
        assert served is not None
        found = {name: served.store.score(served.find(name))["total_value"] for name in EXPECTED}
        assert found == values[served.bundle.model_version]


def test_a_customer_is_found_in_a_bundle_that_is_exchanged_while_it_is_searched(tmp_path: Path) -> None:
    write_sample(tmp_path / "v1", n=N)
    with pytest.MonkeyPatch.context() as patch:
        _at_step(patch, 3, lambda: forget_customer(tmp_path, "3", who="test"))
        assert is_known(tmp_path, "7")


def test_columns_of_other_lengths_than_the_key_are_refused(tmp_path: Path) -> None:
    from experiments.bundle.serving import open_serving

    bundle = write_sample(tmp_path / "v1", n=N)
    path = bundle / "serving" / "customers" / "total_value.npy"
    values = np.load(path)
    path.chmod(0o644)
    np.save(path, values[:-1])
    with pytest.raises(BundleError, match=r"total_value has 11 rows where 12"):
        open_serving(bundle / "serving")
    with pytest.raises(BundleError, match="damaged"):
        load_bundle(bundle)
