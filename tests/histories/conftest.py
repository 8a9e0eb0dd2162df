from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from histories.reading.ingest import ingest
from histories.reading.inputs import Inputs
from histories.reading.sources import Channel, Limits, TableSource


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[..., Path]:
    """Write rows below a header line into a file of the test's folder."""

    def write(name: str, header: str, *lines: str) -> Path:
        path = tmp_path / name
        path.write_text("\n".join([header, *lines]) + "\n")
        return path

    return write


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Inputs]:
    """Ingest sources (a path or settings each) of the test's folder, observed to the end of 2026."""

    def run(
        *,
        observation_end: date = date(2026, 12, 31),
        timezone: str = "UTC",
        currency: str | None = None,
        id_key: bytes | None = None,
        channels: dict[str, Channel] | None = None,
        max_rejected_share: float = 0.01,
        memory: str = "2GB",
        **sources: str | dict[str, Any] | list[dict[str, Any]],
    ) -> Inputs:
        tables = {
            name: [_source(one) for one in source] if isinstance(source, list) else _source(source)
            for name, source in sources.items()
        }
        return ingest(
            tables,
            base_dir=tmp_path,
            observation_end=observation_end,
            timezone=timezone,
            currency=currency,
            id_key=id_key,
            channels=channels,
            limits=Limits(max_rejected_share=max_rejected_share, memory=memory),
        )

    return run


def _source(entry: str | dict[str, Any]) -> TableSource:
    """A bare path, or a table of settings."""
    return TableSource(path=entry) if isinstance(entry, str) else TableSource(**entry)
