"""Sweeps: one configuration, many runs, each with other values of some keys; kept under one parent run.

A run that is already finished with the same configuration file and the same values is not made again, so a
sweep that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl

from experiments.config import load_config
from experiments.tracking import connect, open_run
from histories.errors import ConfigError, TributaryError
from histories.house import version

SWEEP, SETTING = "tributary.sweep", "tributary.setting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Values of some keys, by dotted name."""

    values: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The setting in words: value.horizon_months=24, seed=2."""
        return ", ".join(f"{key}={_short(value)}" for key, value in self.values.items())

    def overrides(self) -> list[str]:
        """As `--set` takes them."""
        return [f"{key}={json.dumps(value)}" for key, value in self.values.items()]


def grid(over: Sequence[str], *, together: bool = False) -> list[Setting]:
    """Settings from texts such as ``seed=[1, 2]``: every combination, or side by side with `together`.

    Raises
    ------
    ConfigError
        When a text is no key with a list of values, or lists side by side have unequal lengths.

    >>> [setting.label for setting in grid(["seed=[1, 2]", "value.origins=[3]"])]
    ['seed=1, value.origins=3', 'seed=2, value.origins=3']
    """
    keys, lists = [], []
    for text in over:
        key, equals, raw = text.partition("=")
        try:
            values = tomllib.loads(f"values = {raw}")["values"] if equals else None
        except tomllib.TOMLDecodeError:
            values = None
        if not key.strip() or not isinstance(values, list) or not values:
            raise ConfigError(f'--over "{text}" is no key with a list of values, such as seed=[1, 2].')
        if key.strip() in keys:
            raise ConfigError(f"--over {key.strip()} is given twice; put its values into one list.")
        keys.append(key.strip())
        lists.append(values)
    if not keys:
        raise ConfigError("a sweep needs at least one --over KEY=[VALUE, …].")
    if together and len({len(values) for values in lists}) > 1:
        told = ", ".join(f"{key} {len(values)}" for key, values in zip(keys, lists, strict=True))
        raise ConfigError(f"--together needs lists of one length; found {told}.")
    rows = zip(*lists, strict=True) if together else itertools.product(*lists)
    settings = [Setting(values=dict(zip(keys, row, strict=True))) for row in rows]
    return list({tuple(setting.overrides()): setting for setting in settings}.values())


def sweep(
    config: Path,
    settings: Sequence[Setting],
    *,
    overrides: Sequence[str] = (),
    runs: Path,
    mlruns: Path,
    jobs: int = 1,
    step: Callable[[str], None] = lambda text: None,
) -> pl.DataFrame:
    """Run every setting under one parent run.

    Parameters
    ----------
    config
        The configuration file.
    settings
        From `grid`.
    overrides
        As `load_config` takes them, the same for all.
    runs, mlruns
        Folders of bundles and of MLflow.
    jobs
        Runs made at once, each in a process of its own.
    step
        Called with a few words when a run begins or was there already.

    Returns
    -------
    DataFrame
        setting, run (its id), status (finished, failed, kept from before), holdout_error, lifetime_value,
        low, high and reason (of a failure), in the order of the settings.
    """
    base = load_config(config, overrides=overrides)
    for setting in settings:  # a wrong key is refused before the first run
        load_config(config, overrides=[*overrides, *setting.overrides()])
    key = _digest([config.read_bytes().hex(), *overrides])
    parent = _parent(base.name, key, mlruns)
    done = _finished(base.name, key, mlruns)
    outcome: dict[str, tuple[str, str, str | None]] = {}
    waiting = []
    for setting in settings:
        digest = _digest(setting.overrides())
        if digest in done:
            step(f"{setting.label}: was there already")
            outcome[setting.label] = (done[digest], "kept from before", None)
        else:
            waiting.append((setting, {"mlflow.parentRunId": parent, SWEEP: key, SETTING: digest}))
    for setting, run_id, reason in _make(config, waiting, overrides, runs, mlruns, jobs, step):
        outcome[setting.label] = (run_id, "failed" if reason else "finished", reason)
    return _table(settings, outcome, mlruns)


def _make(
    config: Path,
    waiting: Sequence[tuple[Setting, dict[str, str]]],
    overrides: Sequence[str],
    runs: Path,
    mlruns: Path,
    jobs: int,
    step: Callable[[str], None],
) -> Iterator[tuple[Setting, str, str | None]]:
    """Each waiting run as it ends: its setting, its id, and why it failed."""
    calls = [
        (str(config), [*overrides, *setting.overrides()], str(runs), str(mlruns), setting.label, tags)
        for setting, tags in waiting
    ]
    if jobs <= 1 or len(calls) <= 1:
        for (setting, _), call in zip(waiting, calls, strict=True):
            step(setting.label)
            yield (setting, *_run_one(*call))
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = {
            pool.submit(_run_one, *call): setting for (setting, _), call in zip(waiting, calls, strict=True)
        }
        for future in as_completed(futures):
            step(futures[future].label)
            yield (futures[future], *future.result())


def _run_one(
    config: str, overrides: list[str], runs: str, mlruns: str, label: str, tags: dict[str, str]
) -> tuple[str, str | None]:
    """Make one run; its id, and the reason when it failed."""
    from experiments.run import run_experiment

    loaded = load_config(Path(config), overrides=overrides)
    try:
        result = run_experiment(loaded, runs=Path(runs), mlruns=Path(mlruns), label=label, tags=tags)
    except TributaryError as error:
        return "", str(error)
    return result.run_id, None


def _parent(name: str, key: str, mlruns: Path) -> str:
    """The sweep's own run, made on first use."""
    client = connect(mlruns)
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        found = client.search_runs(
            [experiment.experiment_id], f"tags.`{SWEEP}` = '{key}' and tags.`{SETTING}` = 'parent'"
        )
        if found:
            return str(found[0].info.run_id)
    tags = {"tributary.version": version(), SWEEP: key, SETTING: "parent"}
    with open_run(name, mlruns=mlruns, tags=tags, label=f"sweep {key[:6]}") as record:
        return record.run_id


def _finished(name: str, key: str, mlruns: Path) -> dict[str, str]:
    """Runs of the sweep that are finished, by the digest of their setting."""
    client = connect(mlruns)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return {}
    found = client.search_runs(
        [experiment.experiment_id],
        f"tags.`{SWEEP}` = '{key}' and attributes.status = 'FINISHED'",
        max_results=1000,
    )
    return {run.data.tags[SETTING]: run.info.run_id for run in found if run.data.tags[SETTING] != "parent"}


def _table(
    settings: Sequence[Setting], outcome: Mapping[str, tuple[str, str, str | None]], mlruns: Path
) -> pl.DataFrame:
    """What every setting came to."""
    client = connect(mlruns)
    rows = []
    for setting in settings:
        run_id, status, reason = outcome[setting.label]
        metrics = client.get_run(run_id).data.metrics if run_id else {}
        rows.append(
            {
                "setting": setting.label,
                "run": run_id[:12],
                "status": status,
                "holdout_error": metrics.get("holdout.total_error"),
                "lifetime_value": metrics.get("customer_lifetime_value"),
                "low": metrics.get("total.customer_lifetime_value.low"),
                "high": metrics.get("total.customer_lifetime_value.high"),
                "reason": reason,
            }
        )
    numbers = ("holdout_error", "lifetime_value", "low", "high")
    types = dict.fromkeys(numbers, pl.Float64) | {"reason": pl.String}
    return pl.DataFrame(rows, schema_overrides=types)


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def _short(value: Any) -> str:
    """A value on a few characters."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
