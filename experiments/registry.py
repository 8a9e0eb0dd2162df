"""The only reader of MLflow: which runs there are, what they found, how they differ."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from experiments.tracking import CHAMPION, connect
from histories.errors import ConfigError

__all__ = ["RunRecord", "compare_runs", "find_run", "list_runs", "runs_frame"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What MLflow keeps of one run."""

    run_id: str
    name: str
    status: str
    started: dt.datetime
    bundle: Path | None
    champion: bool
    parameters: dict[str, str] = field(repr=False)
    metrics: dict[str, float] = field(repr=False)
    failure: str | None = None


def list_runs(mlruns: Path, *, name: str | None = None, limit: int = 100) -> list[RunRecord]:
    """The newest runs first, of one experiment or of all.

    Raises
    ------
    ConfigError
        When `mlruns` holds no run store yet.
    """
    if not (mlruns / "mlflow.db").exists():
        raise ConfigError(f"{mlruns}: no runs are kept here yet. Make one with `tributary run CONFIG`.")
    client = connect(mlruns)
    experiments = [e for e in client.search_experiments() if name is None or e.name == name]
    names = {e.experiment_id: e.name for e in experiments}
    champions = {
        version.run_id
        for model in client.search_registered_models()
        for alias, number in model.aliases.items()
        if alias == CHAMPION
        for version in [client.get_model_version(model.name, number)]
    }
    runs = (
        client.search_runs(list(names), max_results=limit, order_by=["attributes.start_time DESC"])
        if names
        else []
    )
    return [
        RunRecord(
            run_id=run.info.run_id,
            name=names[run.info.experiment_id],
            status=run.info.status.lower(),
            started=dt.datetime.fromtimestamp(run.info.start_time / 1000).replace(microsecond=0),
            bundle=Path(run.data.tags["tributary.bundle"]) if "tributary.bundle" in run.data.tags else None,
            champion=run.info.run_id in champions,
            parameters=dict(run.data.params),
            metrics=dict(run.data.metrics),
            failure=run.data.tags.get("tributary.failure"),
        )
        for run in runs
    ]


def find_run(mlruns: Path, wanted: str) -> RunRecord:
    """The run whose id begins with `wanted`, or the one whose bundle folder is `wanted`.

    Raises
    ------
    ConfigError
        When no run, or more than one, fits.
    """
    runs = list_runs(mlruns, limit=1000)
    folder = Path(wanted).resolve() if Path(wanted).exists() else None
    fits = [run for run in runs if run.run_id.startswith(wanted) or (folder and run.bundle == folder)]
    if len(fits) == 1:
        return fits[0]
    found = "no run" if not fits else f"{len(fits)} runs"
    raise ConfigError(
        f'{mlruns}: {found} with id "{wanted}". List them with `tributary runs`, use more letters.'
    )


def runs_frame(runs: Sequence[RunRecord]) -> pl.DataFrame:
    """One row per run with its main figures.

    Columns: run, name, status, started, champion, model, customers, holdout_error, failure, bundle.
    """
    return pl.DataFrame(
        {
            "run": [run.run_id[:12] for run in runs],
            "name": [run.name for run in runs],
            "status": [run.status for run in runs],
            "started": [run.started for run in runs],
            "champion": [run.champion for run in runs],
            "model": [run.parameters.get("chosen_model") for run in runs],
            "customers": [_count(run.metrics.get("customers")) for run in runs],
            "holdout_error": [run.metrics.get("holdout.total_error") for run in runs],
            "failure": [run.failure for run in runs],
            "bundle": [str(run.bundle) if run.bundle else None for run in runs],
        },
        schema_overrides={
            "failure": pl.String,
            "bundle": pl.String,
            "model": pl.String,
            "customers": pl.Int64,
            "holdout_error": pl.Float64,
        },
    )


def compare_runs(runs: Sequence[RunRecord]) -> pl.DataFrame:
    """What differs between runs: a row per parameter or metric that is not the same in all, a column per run.

    Columns: kind (parameter, metric), name, then one text column for each run, headed by its short id.
    """
    rows: list[dict[str, str | None]] = []
    for kind in ("parameter", "metric"):
        tables = [run.parameters if kind == "parameter" else run.metrics for run in runs]
        for name in sorted(set().union(*tables)):
            values = [table.get(name) for table in tables]
            if len(set(values)) > 1:
                cells = {run.run_id[:12]: _text(value) for run, value in zip(runs, values, strict=True)}
                rows.append({"kind": kind, "name": name, **cells})
    columns = ["kind", "name", *(run.run_id[:12] for run in runs)]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def _count(value: float | None) -> int | None:
    return None if value is None else int(value)


def _text(value: str | float | None) -> str | None:
    return f"{value:.6g}" if isinstance(value, float) else value
