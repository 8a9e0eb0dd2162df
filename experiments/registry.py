"""The only reader of MLflow: which runs there are, what they found, how they differ."""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from experiments.processes import has_ended
from experiments.tracking import CHAMPION, KILLED, PROCESS, connect, server_of
from histories.errors import ConfigError


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
    datasets: dict[str, str] = field(default_factory=dict, repr=False)


def list_runs(mlruns: Path, *, name: str | None = None, limit: int = 100) -> list[RunRecord]:
    """The newest runs first, of one experiment or of all.

    Raises
    ------
    ConfigError
        When `mlruns` holds no run store.
    """
    if server_of(mlruns) is not None:
        return _ask_mlflow(mlruns, name=name, limit=limit)
    if not (mlruns / "mlflow.db").exists():
        raise ConfigError(
            f"{mlruns}: no record of runs is kept here. Say where it is with --mlruns, or make one with "
            "`tributary run CONFIG`; bundles that came without theirs are served all the same, by "
            "`tributary serve --bundle DIR`."
        )
    try:
        return _read_database(mlruns / "mlflow.db", name=name, limit=limit)
    except sqlite3.Error:  # another version of MLflow keeps its tables otherwise
        return _ask_mlflow(mlruns, name=name, limit=limit)


def _read_database(path: Path, *, name: str | None, limit: int) -> list[RunRecord]:
    """Read MLflow's tables themselves: importing MLflow to ask for them takes seconds."""
    with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        rows = database.execute(_RUNS, (name, name, limit)).fetchall()
        champions = {run for (run,) in database.execute(_CHAMPIONS, (CHAMPION,))}
        kept = {
            kind: _by_run(database.execute(f"SELECT run_uuid, key, value FROM {kind}"))
            for kind in ("params", "tags", "latest_metrics")
        }
        datasets = _by_run(database.execute(_DATASETS))
    return [
        _record(
            run_id,
            experiment,
            status,
            started,
            champion=run_id in champions,
            tags=kept["tags"].get(run_id, {}),
            parameters=kept["params"].get(run_id, {}),
            metrics=kept["latest_metrics"].get(run_id, {}),
            datasets=datasets.get(run_id, {}),
        )
        for run_id, experiment, status, started in rows
    ]


_RUNS: Final = """
    SELECT runs.run_uuid, experiments.name, runs.status, runs.start_time
    FROM runs JOIN experiments ON experiments.experiment_id = runs.experiment_id
    WHERE runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'
      AND (? IS NULL OR experiments.name = ?)
    ORDER BY runs.start_time DESC, runs.run_uuid LIMIT ?
"""
_CHAMPIONS: Final = """
    SELECT model_versions.run_id FROM registered_model_aliases
    JOIN model_versions ON model_versions.name = registered_model_aliases.name
      AND model_versions.version = registered_model_aliases.version
    WHERE registered_model_aliases.alias = ?
"""
_DATASETS: Final = """
    SELECT inputs.destination_id, datasets.name, datasets.digest FROM inputs
    JOIN datasets ON datasets.dataset_uuid = inputs.source_id
    WHERE inputs.source_type = 'DATASET' AND inputs.destination_type = 'RUN'
"""


def _by_run(rows: Iterable[tuple[str, str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for run_id, key, value in rows:
        found.setdefault(run_id, {})[key] = value
    return found


def _record(
    run_id: str,
    name: str,
    status: str,
    started: int,
    *,
    champion: bool,
    tags: Mapping[str, str],
    parameters: Mapping[str, str],
    metrics: Mapping[str, float],
    datasets: Mapping[str, str],
) -> RunRecord:
    """One run, in the form of both readers; a run whose process is gone was killed, whatever MLflow says."""
    killed = status == "RUNNING" and has_ended(tags.get(PROCESS, ""))
    return RunRecord(
        run_id=run_id,
        name=name,
        status="killed" if killed else status.lower(),
        started=dt.datetime.fromtimestamp(started / 1000).replace(microsecond=0),
        bundle=Path(tags["tributary.bundle"]) if "tributary.bundle" in tags else None,
        champion=champion,
        parameters=dict(parameters),
        metrics=dict(metrics),
        failure=KILLED if killed else tags.get("tributary.failure"),
        datasets=dict(datasets),
    )


def _ask_mlflow(mlruns: Path, *, name: str | None, limit: int) -> list[RunRecord]:
    """The same through MLflow's client."""
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
        _record(
            run.info.run_id,
            names[run.info.experiment_id],
            run.info.status,
            run.info.start_time,
            champion=run.info.run_id in champions,
            tags=run.data.tags,
            parameters=run.data.params,
            metrics=run.data.metrics,
            datasets={made.dataset.name: made.dataset.digest for made in run.inputs.dataset_inputs},
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


def _count(value: float | None) -> int | None:
    return None if value is None else int(value)
