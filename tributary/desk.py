"""From frames to a checked configuration and histories: the tables of a run, without files of one's own.

Frames go through the same checks as files do, so that a notebook and a run give the same figures.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import polars as pl

from histories.errors import ConfigError, DataError, closest
from tributary.result import Result

if TYPE_CHECKING:
    from experiments.config import RunConfig
    from experiments.parts.histories import Histories
    from histories.reading.inputs import Inputs


Day = dt.date | dt.datetime | str
Origins = Mapping[str, str | Mapping[str, Any]]

UNITS = "units.parquet"
"""Where the table of units lies."""
_MONEY = ("amount", "unit_price", "margin", "cost", "acquisition_cost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A configuration and the histories it gives, while the frames lie on disk."""

    config: RunConfig
    histories: Histories


def to_polars(frame: Any, *, name: str = "the table") -> pl.DataFrame:
    """Any frame as a Polars one: Polars (lazy too), pandas, Arrow, columns or rows of Python, a `Result`.

    A named pandas index becomes a column: it often holds the customers. A column of mixed or unknown things
    becomes text, so that the checks can say what is wrong with it, or nothing where nobody asks for it.

    Raises
    ------
    DataError
        When it is no frame at all, or two columns have one name.
    """
    if isinstance(frame, Result):
        return frame.frame
    try:
        made = _polars_of(frame, name)
    except (pl.exceptions.PolarsError, TypeError, ValueError, OSError) as error:
        raise DataError(
            f"{name} could not be read as a frame ({type(error).__name__}). "
            "Columns of one length are needed, and what a lazy frame reads must be there."
        ) from error
    if made is None:
        raise DataError(
            f"{name} is a {type(frame).__name__}. "
            "Give a Polars, pandas or Arrow frame, a mapping of columns, or a list of rows."
        )
    unknown = [column for column, dtype in made.schema.items() if dtype == pl.Object]
    return made.with_columns(_as_text(column, made[column].to_list()) for column in unknown)


def _polars_of(frame: Any, name: str) -> pl.DataFrame | None:
    """The frame as Polars takes it; None when it is no frame."""
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if isinstance(frame, Mapping):
        return pl.DataFrame(dict(frame), strict=False)
    if isinstance(frame, list) and frame and all(isinstance(row, Mapping) for row in frame):
        return pl.DataFrame([dict(row) for row in frame], infer_schema_length=None, strict=False)
    if hasattr(frame, "reset_index") and hasattr(frame, "columns"):
        levels = [level for level in frame.index.names if level is not None and level not in frame.columns]
        table = frame.reset_index(level=levels) if levels else frame
        columns = [str(column) for column in table.columns]
        _refuse_twins(columns, name)
        return pl.DataFrame([_of_pandas(column, table.iloc[:, k]) for k, column in enumerate(columns)])
    if hasattr(frame, "__arrow_c_stream__"):
        import pyarrow as pa

        table = pa.table(frame)
        _refuse_twins(table.column_names, name)
        return pl.DataFrame([_of_arrow(column, table[column]) for column in table.column_names])
    return None


def _refuse_twins(columns: Sequence[str], name: str) -> None:
    twins = sorted({column for column in columns if columns.count(column) > 1})
    if twins:
        raise DataError(
            f"{name}: more than one column is called {', '.join(twins[:5])}. Drop or rename all but one."
        )


def _of_pandas(column: str, values: Any) -> pl.Series:
    """A pandas column; periods by their first day, instants in UTC, what Polars does not know as text."""
    kind = type(values.dtype).__name__
    if kind == "PeriodDtype":
        values = values.dt.to_timestamp()
    elif kind == "SparseDtype":
        values = values.sparse.to_dense()
    elif kind == "DatetimeTZDtype":
        instants = pl.Series(column, values.dt.tz_convert("UTC").dt.tz_localize(None))
        return instants.dt.replace_time_zone("UTC")
    try:
        made = pl.Series(column, values)
        if made.dtype != pl.Binary:
            return made
    except (pl.exceptions.PolarsError, TypeError, ValueError, RuntimeError):
        pass  # Arrow knows no such thing, or found several kinds of things in one column
    known = zip(values, values.isna(), strict=True)
    return _as_text(column, [None if gone else value for value, gone in known])


def _of_arrow(column: str, values: Any) -> pl.Series:
    """An Arrow column; numbers wider than Polars holds as text."""
    import pyarrow as pa

    wide = pa.types.is_decimal256(values.type) or pa.types.is_float16(values.type)
    return pl.Series(column, values.cast(pa.string()) if wide else values)


def _as_text(column: str, values: Sequence[Any]) -> pl.Series:
    told = [
        value if value is None else value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        for value in values
    ]
    return pl.Series(column, told, dtype=pl.String)


@contextmanager
def desk(
    frames: Mapping[str, Any],
    *,
    units: Any = None,
    zero_orders: str = "drop",
    inputs: Mapping[str, Mapping[str, Any]] | None = None,
    **settings: Any,
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
    inputs
        Options of single tables as under `[inputs]`, by table: `columns`, `timestamp_format`, …
    settings
        Keys of the configuration, as in the TOML file; None leaves the default.

    Raises
    ------
    ConfigError, DataError, SchemaError
        As for a run.
    """
    from experiments.checks import check_run
    from experiments.config import parse_config
    from experiments.inputs import read_inputs
    from experiments.parts.histories import build_histories

    with TemporaryDirectory(prefix="tributary-") as folder:
        if units is not None:
            to_polars(units, name="the table of units").write_parquet(Path(folder) / UNITS)
        entries: dict[str, dict[str, Any]] = {}
        for name, frame in frames.items():
            if frame is not None:
                to_polars(frame, name=name).write_parquet(Path(folder) / name)
                entries[name] = {**(inputs or {}).get(name, {}), "path": name, "format": "parquet"}
        if "transactions" in entries:
            entries["transactions"].setdefault("zero_orders", zero_orders)
        tree = {key: _day(setting) for key, setting in settings.items() if setting is not None}
        config = parse_config({**tree, "inputs": entries}, base_dir=Path(folder), place="arguments")
        checked = read_inputs(config)
        _refuse_misspelled_channels(checked)
        check_run(config, checked)
        yield Desk(config=config, histories=build_histories(config, checked))


def _day(setting: Any) -> Any:
    """A moment as its day: the last time of a column is often given as the end of observation."""
    if hasattr(setting, "astype") and str(getattr(setting, "dtype", "")).startswith("datetime64"):
        setting = setting.astype("datetime64[us]").item()
    return setting.date() if isinstance(setting, dt.datetime) else setting


def _refuse_misspelled_channels(inputs: Inputs) -> None:
    """Refuse a channel that no touch has, where one is nearly called so and is not spoken of."""
    from histories.reading.channel_cautions import seen_channels

    seen = seen_channels(inputs)
    for name in sorted(set(inputs.channels) - seen):
        meant = closest(name, seen - set(inputs.channels))
        if meant is not None:
            raise ConfigError(f'channels: no touch has the channel "{name}"; did you mean "{meant}"?')


def channel_entries(origins: Origins | None) -> dict[str, Any] | None:
    """Entries of `[channels]`; a bare word is the origin."""
    if origins is None:
        return None
    if not isinstance(origins, Mapping):
        raise ConfigError(
            f'channels is a {type(origins).__name__}. Give a mapping of each channel to "customer" or "firm".'
        )
    return {name: {"origin": o} if isinstance(o, str) else dict(o) for name, o in origins.items()}


def in_currency(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with money in currency where it stands in minor units."""
    from histories.money import to_currency

    minor = [name for name in _MONEY if frame.schema.get(name) == pl.Int64()]
    return frame.with_columns(to_currency(pl.col(name)).alias(name) for name in minor)
