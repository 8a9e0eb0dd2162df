"""A panel that lies on disk is the panel in memory, and what is made beside it lies on disk as well."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from attribution.incremental.stocks import panel_stocks
from histories.errors import StorageError
from histories.mapped import empty_beside
from histories.panel import Panel
from histories.panel_building import PanelPart, join_parts
from histories.panel_store import PanelStore


def panel(customers: int, first: int, *, shares: bool, margin: bool = True) -> Panel:
    """Customers of a contractual company with random touches, over six periods and two channels."""
    rng = np.random.default_rng(first)
    shape = (customers, 6)
    return Panel(
        channels=("forum", "chat"),
        groups=("social", "chat"),
        origins=("customer", "firm"),
        touches=rng.poisson(1.0, (*shape, 2)).astype(np.float32),
        own_acts=rng.poisson(1.0, shape).astype(np.float64),
        problems=np.zeros(shape),
        spend=rng.random(shape),
        purchases=rng.poisson(1.0, shape).astype(np.float64),
        entry=np.zeros(customers, dtype=np.int64),
        exit=rng.integers(2, 7, customers),
        exit_share=rng.random(customers) if shares else None,
        covariates=np.zeros((customers, 0)),
        covariate_names=(),
        proxies=np.zeros((customers, 0)),
        proxy_names=(),
        margin=rng.random(shape) if margin else None,
        customer_ids=pl.Series("customer_id", range(first, first + customers)),
        touch_share=rng.integers(0, 256, (*shape, 2)).astype(np.uint8),
    )


def in_file(array: np.ndarray | None) -> bool:
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return array is not None


@pytest.mark.parametrize("shares", [(True, True, True), (False, True, False), (False, False, False)])
@pytest.mark.parametrize("margins", [(True, True, True), (True, True, False)])
def test_parts_on_disk_are_the_parts_in_memory(
    tmp_path: Path, shares: tuple[bool, ...], margins: tuple[bool, ...]
) -> None:
    sizes = (5, 0, 3)
    parts = [
        PanelPart(panel=panel(n, 10 * k, shares=share, margin=margin), late=(k, 2 * k))
        for k, (n, share, margin) in enumerate(zip(sizes, shares, margins, strict=True))
    ]
    store = PanelStore(tmp_path / "panel")
    assert store.take(store.take(parts[:1], parts[1:2]), parts[2:]) == []
    one, other = join_parts(parts), store.part()
    assert other.late == one.late == (3, 6)
    for field in fields(Panel):
        kept, expected = getattr(other.panel, field.name), getattr(one.panel, field.name)
        if isinstance(expected, np.ndarray):
            np.testing.assert_array_equal(kept, expected, err_msg=field.name, strict=True)
            assert in_file(kept) == bool(kept.size), field.name
        elif isinstance(expected, pl.Series):
            assert kept.equals(expected)
        else:
            assert kept == expected, field.name


def test_moments_of_touches_add_up_over_parts(tmp_path: Path) -> None:
    parts = [
        PanelPart(panel=replace(panel(4, k, shares=True), touch_moments=np.full((6, 2, 8), k)), late=(0, 0))
        for k in (1, 2)
    ]
    store = PanelStore(tmp_path / "panel")
    store.take(parts, [])
    for joined in (join_parts(parts), store.part()):
        np.testing.assert_array_equal(joined.panel.touch_moments, np.full((6, 2, 8), 3))


def test_stocks_of_a_panel_on_disk_are_the_same_and_lie_there(tmp_path: Path) -> None:
    part = PanelPart(panel=panel(50, 0, shares=True), late=(0, 0))
    store = PanelStore(tmp_path / "panel")
    store.take([part], [])
    stored = store.part().panel
    for whole in (part.panel, replace(part.panel, exit_share=None)):
        own = replace(stored, exit_share=whole.exit_share)
        for bend in (0.0, 0.6):
            stocks = panel_stocks(own, bend=bend)
            np.testing.assert_array_equal(stocks, panel_stocks(whole, bend=bend))
            assert in_file(stocks)
    files = {file.name for file in (tmp_path / "panel").iterdir()}
    assert files
    assert all(name.endswith(".array") for name in files), "what is made on the way leaves no file"
    assert not in_file(panel_stocks(part.panel))


def test_a_disk_without_room_for_an_array_is_said_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = np.memmap(tmp_path / "small.array", dtype=np.float32, mode="w+", shape=(3,))

    def refuse(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", refuse)
    with pytest.raises(StorageError, match="No space left on device"):
        empty_beside(file, np.float32)
