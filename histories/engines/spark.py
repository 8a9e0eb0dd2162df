"""The same buckets on Apache Spark: split by one shuffle, computed by its workers.

The shuffle sends each customer's rows, numbered by their bucket, to one worker, which writes them. Functions
then run in `mapInArrow` tasks, one for each bucket, and write what they make. Driver and workers share the
folder (a network drive, a mounted object store). A lost task is done again and replaces its files.
"""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import polars as pl
import pyarrow as pa

from histories.engines.ranges import bucket_of
from histories.engines.spill import spilling
from histories.engines.spilled import Spilled, Stored, Task, Told
from histories.errors import ConfigError, TributaryError

_SETTINGS: Final = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.inferTimestampNTZ.enabled": "true",
    "spark.executorEnv.POLARS_MAX_THREADS": "1",
    "spark.log.level": "ERROR",
}
"""What a session that is started here gets unless its configuration says otherwise."""


@contextmanager
def spark_session(master: str | None = None) -> Iterator[Any]:
    """The running Spark session, or a new one that is stopped when the block ends.

    Parameters
    ----------
    master
        Such as "local[2]" or "spark://host:7077"; by default what `spark-defaults.conf`, `spark-submit` or
        `SPARK_REMOTE` say, else all cores of this machine.

    Raises
    ------
    ConfigError
        Without pyspark or Java; the message says what to install.
    """
    try:
        with _quiet():
            from pyspark.sql import SparkSession
    except ImportError as error:
        raise ConfigError(
            '--engine spark needs pyspark, which is not installed: pip install "tributary-clv[spark]". '
            'Or leave --engine out, with --memory "2GB" where the data do not fit in memory.'
        ) from error
    remote = "SPARK_REMOTE" in os.environ
    if not remote and not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        raise ConfigError(
            "--engine spark needs Java 17, and there is no `java` on the PATH and no JAVA_HOME. Install a "
            'JRE 17, or leave --engine out, with --memory "2GB" where the data do not fit in memory.'
        )
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if not remote and (home := _own_spark()) is not None:
        os.environ.setdefault("SPARK_HOME", home)
    builder = SparkSession.builder.appName("tributary")
    if not remote:
        for key, value in _SETTINGS.items():
            builder = builder.config(key, value)
    if master is not None:
        builder = builder.master(master)
    running = None if remote else SparkSession.getActiveSession()
    try:
        with _quiet():
            session = running or builder.getOrCreate()
    except Exception as error:  # the gateway, the JVM and the cluster each raise their own kind
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(f"--engine spark: no session could be started ({first[0]}).") from error
    try:
        yield session
    finally:
        if running is None:
            session.stop()


def _own_spark() -> str | None:
    """The Spark inside the pyspark package, which executors of a `local-cluster` are started from."""
    import pyspark

    home = Path(pyspark.__file__).parent
    return str(home) if (home / "bin" / "spark-class").exists() else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what pyspark says of versions of pandas, which it is not given here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        yield


class Spark(Spilled):
    """Splits and computes on a Spark session; a bucket is a task.

    Parameters
    ----------
    session
        The Spark session.
    folder
        Where buckets lie, seen by driver and workers alike.
    memory, buckets, told
        See `histories.engines.spilled.Spilled`.
    """

    def __init__(
        self,
        session: Any,
        folder: Path,
        *,
        memory: int,
        buckets: int | None = None,
        told: Told = lambda done, of: None,
    ) -> None:
        super().__init__(folder, memory=memory, buckets=buckets, told=told)
        self._session = session

    @property
    def folder(self) -> None:
        """A shared folder may be no file system to map arrays from: the driver holds them in memory."""
        return

    @_quiet()
    def split(self, stored: Stored, frame: pl.LazyFrame, cuts: pl.Series) -> None:
        """One shuffle: rows are numbered by their bucket, brought together, and written by the workers."""
        source = stored.folder / "source"
        source.mkdir()
        frame.sink_parquet(source / "rows.parquet", compression="lz4", row_group_size=100_000)
        rows = self._session.read.parquet(str(source))
        columns = ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in rows.schema)
        numbered = rows.mapInArrow(partial(_numbered, cuts=cuts), f"{columns}, bucket int")
        together = numbered.repartition(len(cuts) + 1, "bucket")
        done = together.mapInArrow(partial(_keep, stored=stored), "bucket int, answer binary")
        for row in done.collect():
            _read(row)
        shutil.rmtree(source)

    def each(self, task: Task, buckets: int) -> Iterator[Any]:
        """What a task returns for each bucket, computed by the workers."""
        self._told(0, buckets)
        for row in sorted(self._answers(task, buckets), key=lambda row: int(row["bucket"])):
            yield _read(row)
        self._told(buckets, buckets)

    @_quiet()
    def _answers(self, task: Task, buckets: int) -> list[Any]:
        numbers = self._session.range(0, buckets, 1, buckets)
        found = numbers.mapInArrow(partial(_answer, task=task), "bucket int, answer binary")
        return list(found.collect())


def _numbered(batches: Iterable[pa.RecordBatch], *, cuts: pl.Series) -> Iterator[pa.RecordBatch]:
    """Rows with the number of their bucket."""
    for batch in batches:
        rows = pl.DataFrame(pl.from_arrow(batch)).with_columns(bucket_of(cuts))
        number = rows["bucket"].to_arrow().cast(pa.int32())
        yield pa.RecordBatch.from_arrays([*batch.columns, number], [*batch.schema.names, "bucket"])


def _keep(batches: Iterable[pa.RecordBatch], *, stored: Stored) -> Iterator[pa.RecordBatch]:
    """Write the rows of whole buckets; they appear when all of them are there, and only once."""
    stage = Stored(folder=stored.folder / f".{uuid4().hex}", schema=stored.schema)
    written = set()
    try:
        with spilling():
            for number, batch in enumerate(batches):
                rows = pl.DataFrame(pl.from_arrow(batch))
                parts = rows.partition_by("bucket", as_dict=True, include_key=False)
                for (bucket,), part in parts.items():
                    stage.write(int(bucket), part.cast(stored.schema), name=f"{number:06}")
                    written.add(int(bucket))
            for bucket in written:
                if not stored.home(bucket).exists():  # else an earlier attempt was lost after its last write
                    stage.home(bucket).rename(stored.home(bucket))
    except TributaryError as error:
        yield _row(-1, error)
    finally:
        shutil.rmtree(stage.folder, ignore_errors=True)


def _answer(batches: Iterable[pa.RecordBatch], *, task: Task) -> Iterator[pa.RecordBatch]:
    """What the task returns, or the refusal that it raised, for each number of a bucket."""
    for batch in batches:
        for bucket in batch.column(0).to_pylist():
            try:
                yield _row(int(bucket), task(int(bucket)))
            except TributaryError as error:
                yield _row(int(bucket), error)


def _row(bucket: int, answer: Any) -> pa.RecordBatch:
    columns = {"bucket": pa.array([bucket], pa.int32()), "answer": pa.array([pickle.dumps(answer)])}
    return pa.RecordBatch.from_pydict(columns)


def _read(row: Any) -> Any:
    """What a worker returned; what it refused is raised here."""
    answer = pickle.loads(bytes(row["answer"]))
    if isinstance(answer, TributaryError):
        raise answer
    return answer
