"""The only writer of MLflow: one run per `tributary run`, and the alias of the model being served.

Everything lies under one folder, `mlruns/`: the database `mlflow.db` and the artifacts beside it. MLflow
keeps absolute paths there, so that folder cannot be moved; the service therefore reads bundles, never MLflow.
In the folder's place an address such as http://mlflow.example.com:5000 names a tracking server.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import re
import secrets
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from experiments.processes import has_ended, this_process
from histories.durable import locked, make_folder, refused_by_system, storage_error
from histories.errors import StorageError, TributaryError

if TYPE_CHECKING:
    from mlflow import MlflowClient


CHAMPION = "champion"
PROCESS = "tributary.process"
KILLED = "its process was killed"
_LONGEST_PARAMETER, _LONGEST_KEY = 6000, 250  # MLflow refuses longer values and names
_Value = TypeVar("_Value")


def connect(mlruns: Path) -> MlflowClient:
    """A client of the store in `mlruns`, made on first use; quiet, and without MLflow's usage reporting."""
    server = server_of(mlruns)
    if server is None:
        make_folder(mlruns)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # statements with their values
        if server is not None:
            return MlflowClient(tracking_uri=server, registry_uri=server)
        database = mlruns.resolve() / "mlflow.db"
        if not database.exists():
            with locked(database.parent, "mlflow"):
                _make_database(database)
        uri = f"sqlite:///{database}"
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _make_database(database: Path) -> None:
    """Make an empty database, whole or not at all: MLflow does not mend one whose making was interrupted."""
    from mlflow import MlflowClient

    if database.exists():
        return
    for left in database.parent.glob(f".{database.name}.*"):  # of a process that was killed here
        left.unlink()
    fresh = database.with_name(f".{database.name}.{secrets.token_hex(4)}")
    try:
        uri = f"sqlite:///{fresh}"
        MlflowClient(tracking_uri=uri, registry_uri=uri).search_experiments(max_results=1)
        fresh.rename(database)
    finally:
        fresh.unlink(missing_ok=True)


def server_of(mlruns: Path) -> str | None:
    """The address of a tracking server that stands in the folder's place; None for a folder.

    >>> server_of(Path("http://127.0.0.1:5000")), server_of(Path("mlruns"))
    ('http://127.0.0.1:5000', None)
    """
    scheme, colon, rest = mlruns.as_posix().partition(":/")
    return f"{scheme}://{rest.lstrip('/')}" if colon and scheme in ("http", "https") else None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRun:
    """A run that MLflow has begun; everything logged goes to it."""

    client: MlflowClient
    run_id: str
    name: str

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Store a flat mapping of names to plain values; long values are cut, with a mark."""
        from mlflow.entities import Param

        rows = [Param(key, _cut(str(value))) for key, value in keyed(parameters).items()]
        for start in range(0, len(rows), 100):
            self.client.log_batch(self.run_id, params=rows[start : start + 100])

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Store finite figures; a missing or infinite one is left out, as MLflow cannot sort it."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
        rows = [Metric(key, value, now, 0) for key, value in keyed(finite).items()]
        for start in range(0, len(rows), 1000):
            self.client.log_batch(self.run_id, metrics=rows[start : start + 1000])

    def log_dataset(
        self,
        name: str,
        *,
        source: str,
        digest: str,
        rows: int,
        context: str,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        """Note which rows a run read: the table, its files, the digest of their bytes, rows and columns."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=name,
            digest=hashlib.sha256(digest.encode()).hexdigest()[:8],
            source_type="local",
            source=json.dumps({"uri": source, "sha256": digest}),
            schema=json.dumps(
                {
                    "mlflow_colspec": [
                        {"name": n, "type": t, "required": False} for n, t in (columns or {}).items()
                    ]
                }
            ),
            profile=json.dumps({"num_rows": rows}),
        )
        self.client.log_inputs(
            self.run_id,
            datasets=[DatasetInput(dataset=dataset, tags=[InputTag("mlflow.data.context", context)])],
        )

    def log_bundle(self, bundle: Path) -> None:
        """Copy a bundle into the run's artifacts; a version is registered when the run is promoted."""
        self.client.log_artifacts(self.run_id, str(bundle), "bundle")
        self.client.set_tag(self.run_id, "tributary.bundle", str(bundle.resolve()))

    @contextlib.contextmanager
    def keeping(self, bundle: Path) -> Iterator[None]:
        """Says in one sentence that the disk took the bundle, but not MLflow's record of it."""
        try:
            yield
        except Exception as error:
            if (refused := refused_by_system(error)) is None:
                raise
            raise StorageError(
                f"{bundle.name} is written and can be served, but MLflow could not keep its record and copy "
                f"({refused.strerror}). Free space, or name another folder by --mlruns, and run again."
            ) from error


@contextlib.contextmanager
def open_run(
    name: str, *, mlruns: Path, tags: Mapping[str, str] | None = None, label: str | None = None
) -> Iterator[OpenRun]:
    """Begin a run of experiment `name`, called `label` (by default the experiment's name).

    It ends as finished, or as failed with the reason as a tag.
    """
    with _recording(mlruns):
        client = connect(mlruns)
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            location = None if server_of(mlruns) else (mlruns / "artifacts").resolve().as_uri()
            experiment_id = client.create_experiment(name, artifact_location=location)
        else:
            experiment_id = experiment.experiment_id
        _end_killed(client, experiment_id)
        told = {**(tags or {}), PROCESS: this_process()}
        run = client.create_run(experiment_id, tags=told, run_name=label or name)
    run_id = run.info.run_id
    try:
        yield OpenRun(client=client, run_id=run_id, name=name)
    except BaseException as error:
        reason = str(error) if isinstance(error, TributaryError) else type(error).__name__
        with contextlib.suppress(Exception):  # the same full disk, say: what failed first is what is told
            client.set_tag(run_id, "tributary.failure", _cut(reason))
            client.set_terminated(run_id, status="FAILED")
        raise
    with _recording(mlruns):
        client.set_terminated(run_id)


@contextlib.contextmanager
def _recording(mlruns: Path) -> Iterator[None]:
    """Says in one sentence that the disk did not take the record of a run; another fault passes as it is."""
    try:
        yield
    except Exception as error:
        if (refused := refused_by_system(error)) is None:
            raise
        raise storage_error(mlruns.name, refused) from error


def _end_killed(client: MlflowClient, experiment_id: str) -> None:
    """Mark runs whose process was killed, and which MLflow would call running for ever."""
    for run in client.search_runs([experiment_id], filter_string="attributes.status = 'RUNNING'"):
        if has_ended(run.data.tags.get(PROCESS, "")):
            client.set_tag(run.info.run_id, "tributary.failure", KILLED)
            client.set_terminated(run.info.run_id, status="KILLED")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_PARAMETER else text[: _LONGEST_PARAMETER - 3] + "..."


def keyed(named: Mapping[str, _Value]) -> dict[str, _Value]:
    """The same under names that MLflow takes: other characters are `_`, what is too long ends in a digest.

    >>> list(keyed({"channels.paid / social": 1, "channels.paid & social": 2}))
    ['channels.paid _ social', 'channels.paid _ social-236fccf3']
    """
    kept: dict[str, _Value] = {}
    for name, value in named.items():
        key = re.sub(r"[^\w. :-]", "_", name)
        if len(key) > _LONGEST_KEY or key in kept:
            digest = hashlib.sha256(name.encode()).hexdigest()[:8]
            key = f"{key[: _LONGEST_KEY - len(digest) - 1]}-{digest}"
        kept[key] = value
    return kept


def flatten(tree: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one level of dotted names, as MLflow's parameters want them.

    Several of a kind go by their names, or by number.

    >>> flatten({"value": {"horizon_months": 12}, "inputs": {"costs": [{"path": "a.csv"}]}})
    {'value.horizon_months': 12, 'inputs.costs.path': 'a.csv'}
    >>> flatten({"effects": [{"name": "spring", "design": "landmark"}, {"design": "randomised"}]})
    {'effects.spring.name': 'spring', 'effects.spring.design': 'landmark', 'effects.2.design': 'randomised'}
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, prefix=f"{name}.")
        elif isinstance(value, list | tuple) and value and all(isinstance(one, Mapping) for one in value):
            for number, one in enumerate(value, start=1):
                alone = len(value) == 1 and "name" not in one
                part = "" if alone else f"{one.get('name', number)}."
                flat |= flatten(one, prefix=f"{name}.{part}")
        elif value is not None and value not in ((), []):
            flat[name] = value
    return flat
