"""A panel of all customers in files, filled bucket by bucket: only what is looked at is in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from histories.arrays import Real
from histories.engines.spill import spilling
from histories.mapped import open_mapped
from histories.panel import BY_CUSTOMER, SHARES, Panel, add_moments
from histories.panel_building import PanelPart


class PanelStore:
    """Parts of the panel one after the other, read as one: what `join_parts` makes of them, kept on disk.

    Parameters
    ----------
    folder
        A new one, for a file for each array.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._like: Panel | None = None
        self._ids: list[pl.Series | None] = []
        self._rows = 0
        self._empty: dict[str, NDArray[Any]] = {}
        self._given: set[str] = set()
        self._missing: set[str] = set()
        self._late = [0, 0]
        self._touch_moments: list[Real | None] = []

    def take(self, first: Sequence[PanelPart], second: Sequence[PanelPart]) -> list[PanelPart]:
        """Write parts to disk, and hold none of them: how lists of parts are merged.

        Raises
        ------
        StorageError
            When the disk does not take them.
        """
        for part in (*first, *second):
            self._add(part.panel)
            self._late = [own + new for own, new in zip(self._late, part.late, strict=True)]
        return []

    def part(self) -> PanelPart:
        """All customers, in the order in which they came."""
        touches, purchases = self._late
        return PanelPart(panel=self._panel(), late=(touches, purchases))

    def _add(self, panel: Panel) -> None:
        for name in BY_CUSTOMER:
            array = getattr(panel, name)
            (self._missing if array is None else self._given).add(name)
            if array is None and name in SHARES:
                array = np.ones(panel.n_customers)
            if array is not None:
                self._append(name, array)
        self._like = self._like or panel.take(slice(0, 0))
        self._ids.append(panel.customer_ids)
        self._touch_moments.append(panel.touch_moments)
        self._rows += panel.n_customers

    def _panel(self) -> Panel:
        assert self._like is not None, "no panel was added"
        arrays: dict[str, Any] = dict.fromkeys(BY_CUSTOMER)
        for name in self._given - (self._missing - set(SHARES)):
            empty = self._empty[name]
            arrays[name] = open_mapped(self._file(name), (self._rows, *empty.shape[1:]), empty.dtype)
        ids = [known for known in self._ids if known is not None]
        arrays["customer_ids"] = pl.concat(ids) if len(ids) == len(self._ids) else None
        arrays["touch_moments"] = add_moments(self._touch_moments)
        return replace(self._like, **arrays)

    def _append(self, name: str, array: NDArray[Any]) -> None:
        dtype = self._empty.setdefault(name, array[:0].copy()).dtype
        with spilling():
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._file(name).open("ab") as file:
                file.write(np.ascontiguousarray(array, dtype=dtype).data)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.array"
