"""Spark answers as memory does: one Java process for everything that is asked of it."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from experiments.config import RunConfig
from experiments.run import Findings
from histories.engines.base import Local, Tables
from histories.engines.spark import Spark, _keep, spark_session
from histories.engines.spilled import Stored
from histories.errors import ConfigError, DataError
from tests.experiments.test_engines import assert_same, company, configure, find_with
from tests.histories.test_engines import answers, assert_equal, many_rows

QUICK_JAVA = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:-BytecodeVerificationRemote",
)
A_RULE_AND_A_MODEL = {"attribution": {"methods": ["last", "markov"], "outcomes": ["conversion", "retention"]}}
"""Both kinds of journeys; every outcome and method by buckets is told of engines without Java."""
quiet = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)


@pytest.fixture(scope="module")
def java() -> Iterator[None]:
    """Java that compiles and verifies little: half the time of processes that live for seconds."""
    pytest.importorskip("pyspark", reason="needs pyspark: pip install tributary-clv[spark]")
    if shutil.which("java") is None:
        pytest.skip("needs Java 17")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JDK_JAVA_OPTIONS", " ".join(QUICK_JAVA))
        yield


@pytest.fixture(scope="module")
def spark(java: None) -> Iterator[Any]:
    with spark_session("local[1]") as session:
        yield session


def with_text_ids(table: str) -> str:
    rows = pl.read_csv(io.StringIO(table), infer_schema=False)
    return rows.with_columns("c" + pl.col("^customer_id$")).write_csv()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    tables = {name: with_text_ids(text) for name, text in company().items()}
    return configure(tmp_path_factory.mktemp("company"), tables, A_RULE_AND_A_MODEL)


@pytest.fixture(scope="module")
def whole(config: RunConfig) -> Findings:
    return find_with(config, Local())


@pytest.mark.slow
@pytest.mark.usefixtures("java")
@quiet
def test_a_run_on_executors_of_their_own_finds_what_a_run_in_memory_does(
    config: RunConfig, whole: Findings, tmp_path: Path
) -> None:
    with spark_session("local-cluster[2,1,1024]") as session:
        assert session.sparkContext.master == "local-cluster[2,1,1024]"
        assert_same(find_with(config, Spark(session, tmp_path, memory=1, buckets=3)), whole)


@pytest.mark.slow
@pytest.mark.parametrize(("buckets", "id_type"), [(3, pl.String), (1, pl.Int64), (8, pl.Int64)])
@quiet
def test_spark_answers_as_memory_does(spark: Any, tmp_path: Path, buckets: int, id_type: Any) -> None:
    frames = many_rows(id_type)
    scattered = Spark(spark, tmp_path, memory=1, buckets=buckets).scatter(frames)
    assert_equal(answers(scattered), answers(Local().scatter(frames)))


@quiet
def test_a_refusal_on_a_worker_reaches_the_caller_in_its_own_words(spark: Any, tmp_path: Path) -> None:
    def refuse(tables: Tables) -> Any:
        raise DataError("nobody bought twice")

    frames = many_rows()
    scattered = Spark(spark, tmp_path, memory=1, buckets=2).scatter(frames)
    assert scattered.gather("nothing").collect_schema() == frames["nothing"].collect_schema()
    with pytest.raises(DataError, match=r"^nobody bought twice$"):
        scattered.map(refuse)


@quiet
def test_a_run_on_spark_finds_what_a_run_in_memory_does(
    spark: Any, config: RunConfig, whole: Findings, tmp_path: Path
) -> None:
    assert_same(find_with(config, Spark(spark, tmp_path, memory=1, buckets=2)), whole)


def test_a_task_that_is_done_again_leaves_every_row_once(tmp_path: Path) -> None:
    rows = pl.DataFrame({"customer_id": [1, 2, 3], "bucket": pl.Series([0, 0, 1], dtype=pl.Int32)})
    stored = Stored(folder=tmp_path, schema=pl.Schema({"customer_id": pl.Int64()}))

    def lost() -> Iterator[Any]:
        yield from rows.to_arrow().to_batches()
        raise RuntimeError("the worker was killed")

    with pytest.raises(RuntimeError):
        list(_keep(lost(), stored=stored))
    assert stored.of(0, 1).collect().is_empty()
    for _ in range(2):
        list(_keep(rows.to_arrow().to_batches(), stored=stored))
    assert stored.of(0, 1).collect()["customer_id"].to_list() == [1, 2, 3]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bucket=0", "bucket=1"]


def test_without_java_spark_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyspark", reason="needs pyspark: pip install tributary-clv[spark]")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    with pytest.raises(ConfigError, match="needs Java 17"), spark_session():
        pass


def test_without_pyspark_spark_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(ConfigError, match=r"pip install \"tributary-clv\[spark\]\""), spark_session():
        pass
