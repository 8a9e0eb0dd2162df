"""From frames to a checked configuration and histories: the tables of a run, without files of one's own.

Frames go through the same checks as files do, so that a notebook and a run give the same figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import polars as pl

from histories.errors import DataError
from tributary.result import Result

if TYPE_CHECKING:
    from experiments.config import RunConfig
    from experiments.parts.histories import Histories

__all__ = ["UNITS", "Desk", "desk", "to_polars"]

UNITS = "units.parquet"
"""Where the table of units lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A configuration and the histories it gives, while the frames lie on disk."""

    config: RunConfig
    histories: Histories


def to_polars(frame: Any, *, name: str = "the table") -> pl.DataFrame:
    """Any frame as a Polars one: Polars (lazy too), pandas, Arrow, a mapping of columns, a `Result`.

    A named pandas index becomes a column: it often holds the customers.

    Raises
    ------
    DataError
        When it is no frame at all.
    """
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if isinstance(frame, Result):
        return frame.frame
    if isinstance(frame, Mapping):
        return pl.DataFrame(dict(frame))
    names = getattr(getattr(frame, "index", None), "names", [None])
    if hasattr(frame, "reset_index"):
        named = [level for level in names if level is not None and level not in frame.columns]
        return pl.from_pandas(frame.reset_index(level=named) if named else frame)
    if hasattr(frame, "__arrow_c_stream__"):
        return pl.DataFrame(frame)
    raise DataError(
        f"{name} is a {type(frame).__name__}. Give a Polars, pandas or Arrow frame, or a mapping of columns."
    )


@contextmanager
def desk(
    frames: Mapping[str, Any], *, units: Any = None, zero_orders: str = "drop", **settings: Any
) -> Iterator[Desk]:
    """Check frames as the tables of a run and build the histories.

    Parameters
    ----------
    frames
        Table name to frame; None where there is no such table.
    units
        A frame with one row per unit, which an effect's `table` finds as `UNITS`.
    zero_orders
        "drop" orders that net to nothing, or "count" them as purchases.
    settings
        Keys of the configuration, as in the TOML file; None leaves the default.

    Raises
    ------
    ConfigError, DataError, SchemaError
        As for a run.
    """
    from experiments.config import parse_config
    from experiments.inputs import read_inputs
    from experiments.parts.histories import build_histories

    with TemporaryDirectory(prefix="tributary-") as folder:
        if units is not None:
            to_polars(units, name="the table of units").write_parquet(Path(folder) / UNITS)
        inputs = {}
        for name, frame in frames.items():
            if frame is not None:
                to_polars(frame, name=name).write_parquet(Path(folder) / f"{name}.parquet")
                inputs[name] = {"path": f"{name}.parquet"}
        if "transactions" in inputs:
            inputs["transactions"]["zero_orders"] = zero_orders
        tree = {key: setting for key, setting in settings.items() if setting is not None}
        config = parse_config({**tree, "inputs": inputs}, base_dir=Path(folder), place="arguments")
        yield Desk(config=config, histories=build_histories(config, read_inputs(config)))
