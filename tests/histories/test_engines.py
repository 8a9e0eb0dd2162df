"""An answer depends neither on the engine nor on the number of buckets, nor on the order of rows."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from histories.engines.base import Buckets, Local, Tables
from histories.engines.spill import spill_folder
from histories.engines.spilled import Spilled
from histories.errors import ConfigError, DataError, StorageError
from histories.journeys import JourneyWalk, count_path_texts, count_paths, merge_paths, walk_journeys
from histories.purchases import build_purchases
from histories.retention import build_repeat_periods, count_gaps, walk_retention
from histories.timeline import JourneyWindow
from histories.touchpoints import build_touchpoints

END = date(2026, 3, 31)
START = datetime(2026, 1, 1)
WINDOW = JourneyWindow(lookback_days=3, observation_end=END)

# Times on a coarse grid, so that ties and equal rows are common; customer 0 has most of the rows.
moments = st.integers(0, 4 * 88).map(lambda step: START + timedelta(hours=6 * step))
customers = st.one_of(st.just(0), st.integers(0, 9))
transaction = st.tuples(customers, moments, st.integers(-30, 50), st.sampled_from(["a", "b", None]))
touch = st.tuples(customers, moments, st.sampled_from(["chat", "mail", "post"]), st.booleans())


def transactions_frame(rows: list[tuple[int, datetime, int, str | None]], id_type: Any) -> pl.LazyFrame:
    schema = {"customer_id": pl.Int64, "timestamp": pl.Datetime("us"), "amount": pl.Int64}
    frame = pl.LazyFrame(rows, schema={**schema, "order_id": pl.String}, orient="row")
    return frame.with_columns(pl.col("customer_id").cast(id_type))


def touches_frame(rows: list[tuple[int, datetime, str, bool]], id_type: Any) -> pl.LazyFrame:
    schema = {"customer_id": pl.Int64, "timestamp": pl.Datetime("us"), "channel": pl.String}
    at = pl.col("timestamp")
    frame = pl.LazyFrame(rows, schema={**schema, "date_only": pl.Boolean}, orient="row")
    return frame.with_columns(
        pl.col("customer_id").cast(id_type),
        pl.when("date_only").then(at.dt.truncate("1d")).otherwise(at).alias("timestamp"),
    )


def purchases_of(tables: Tables) -> pl.LazyFrame:
    return build_purchases(tables["transactions"])


def walk_of(tables: Tables) -> JourneyWalk:
    return walk_journeys(build_touchpoints(tables["touches"]), purchases_of(tables), WINDOW)


def retention_of(tables: Tables) -> pl.LazyFrame:
    periods = build_repeat_periods(purchases_of(tables), observation_end=END, lapse_days=20)
    return walk_retention(build_touchpoints(tables["touches"]), periods, WINDOW).journeys


def everything(tables: Tables) -> dict[str, pl.DataFrame | pl.LazyFrame]:
    """Every history, and counts that add up; journeys lazily, the rest at once."""
    walk = walk_of(tables)
    return {
        "purchases": purchases_of(tables).collect(),
        "journeys": walk.journeys,
        "touches of journeys": walk.touches.collect(),
        "retention": retention_of(tables).collect(),
        "paths": count_path_texts(walk.journeys),
        "gaps": count_gaps(purchases_of(tables)).collect(),
    }


def count(tables: Tables) -> Any:
    return walk_of(tables).counts


def answers(buckets: Buckets) -> dict[str, pl.DataFrame]:
    made = buckets.map(everything)
    gaps = made.gather("gaps").group_by("days").agg(pl.col("gaps").sum()).sort("days")
    names = ("purchases", "journeys", "touches of journeys", "retention")
    return {
        **{name: made.gather(name).collect() for name in names},
        "paths": merge_paths(made.gather("paths")).collect(),
        "gaps": gaps.collect(),
        "counts": pl.DataFrame([buckets.reduce(count, lambda one, more: one + more).to_dict()]),
    }


def assert_equal(found: dict[str, pl.DataFrame], whole: dict[str, pl.DataFrame]) -> None:
    for name, frame in whole.items():
        in_order = name in ("paths", "gaps", "counts")
        assert_frame_equal(found[name], frame, check_row_order=in_order, rel_tol=1e-9)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bought=st.lists(transaction, max_size=40),
    seen=st.lists(touch, max_size=40),
    order=st.randoms(use_true_random=False),
    buckets=st.sampled_from([1, 3, 8]),
    id_type=st.sampled_from([pl.Int64, pl.String]),
)
def test_buckets_on_disk_answer_as_memory_does(
    tmp_path_factory: pytest.TempPathFactory,
    bought: list[Any],
    seen: list[Any],
    order: Any,
    buckets: int,
    id_type: Any,
) -> None:
    frames = {"transactions": transactions_frame(bought, id_type), "touches": touches_frame(seen, id_type)}
    whole = answers(Local().scatter(frames))
    order.shuffle(bought)
    order.shuffle(seen)
    frames = {"transactions": transactions_frame(bought, id_type), "touches": touches_frame(seen, id_type)}
    with spill_folder(tmp_path_factory.mktemp("runs")) as folder:
        assert_equal(answers(Spilled(folder, memory=1, buckets=buckets).scatter(frames)), whole)


def many_rows(id_type: Any = pl.Int64) -> dict[str, pl.LazyFrame]:
    """A giant, customers of one table only, ties, and hours that nobody else has."""
    bought = [(row % 9, START + timedelta(hours=31 * row % 2000), row % 7 - 1, None) for row in range(90)]
    seen = [
        (0 if row % 2 else row % 13, START + timedelta(hours=6 * row % 2000), "chat", False)
        for row in range(400)
    ]
    return {
        "transactions": transactions_frame(bought, id_type),
        "touches": touches_frame(seen, id_type),
        "nothing": pl.LazyFrame(schema={"customer_id": id_type, "amount": pl.Int64}),
    }


def test_what_is_sorted_in_every_bucket_is_sorted_as_a_whole(tmp_path: Path) -> None:
    def in_order(tables: Tables) -> Any:
        return {"sorted": tables["touches"].sort("customer_id", "timestamp")}

    made = Spilled(tmp_path, memory=1, buckets=4).scatter(many_rows(pl.String)).map(in_order)
    rows = made.gather("sorted").collect()
    assert rows.height == 400
    assert rows.select("customer_id", "timestamp").equals(
        rows.select("customer_id", "timestamp").sort("customer_id", "timestamp")
    )


COUNTED: list[int] = []


def sizes(tables: Tables) -> dict[str, pl.DataFrame]:
    COUNTED.append(1)
    return {"size": tables["touches"].select(pl.len()).collect()}


@pytest.mark.parametrize(("token", "counted"), [("the same rows", 0), ("other rows", 3)])
def test_buckets_of_a_killed_process_count_only_for_the_same_work(
    tmp_path: Path, token: str, counted: int
) -> None:
    def work(token: str, left: Path | None = None) -> pl.DataFrame:
        with spill_folder(tmp_path) as folder:
            engine = Spilled(folder, memory=1, buckets=3)
            engine.begin(token)
            found = engine.scatter(many_rows()).map(sizes).gather("size").collect()
            if left is not None:
                shutil.copytree(folder / "work", left / "work")
            return found

    whole = work("the same rows", left=tmp_path / ".spill-left")
    COUNTED.clear()
    assert work(token).equals(whole)
    assert len(COUNTED) == counted
    assert not list(tmp_path.glob(".spill-*"))


def test_a_customer_with_most_rows_is_not_cut_and_leaves_no_bucket_empty(tmp_path: Path) -> None:
    rows = pl.LazyFrame({"customer_id": [5] * 100 + [1, 9]})
    sizes = (
        Spilled(tmp_path, memory=1, buckets=50)
        .scatter({"rows": rows})
        .reduce(
            lambda tables: [tables["rows"].select(pl.len()).collect().item()], lambda one, more: one + more
        )
    )
    assert sizes == [101, 1]


def test_buckets_are_as_many_as_the_memory_asks_for(tmp_path: Path) -> None:
    rows = pl.LazyFrame({"customer_id": range(1000)})

    def number(memory: int) -> int:
        folder = tmp_path / str(memory)
        return Spilled(folder, memory=memory).scatter({"rows": rows}).reduce(lambda tables: 1, int.__add__)

    assert number(1_000_000) == 1
    assert number(40_000) > number(200_000) > 1


def test_memory_of_the_whole_process_leaves_buckets_the_rest_or_says_that_it_cannot(tmp_path: Path) -> None:
    rows = {"rows": pl.LazyFrame({"customer_id": [n % 1000 for n in range(50_000)]})}
    enough = Spilled(tmp_path / "enough", memory=100 * 1024**3, whole=True)
    enough.scatter(rows)
    assert enough.notes == ()
    few = Spilled(tmp_path / "few", memory=8 * 1024**2, whole=True)
    assert few.scatter(rows).reduce(lambda tables: 1, int.__add__) == 39
    assert re.fullmatch(r"memory: 8 MB are too few: .* Give [\d,]+ MB or more\.", few.notes[0])


def test_later_tables_are_split_as_the_first_ones_were(tmp_path: Path) -> None:
    first = {"touches": pl.LazyFrame({"customer_id": list(range(50)) * 3})}
    later = {"labels": pl.LazyFrame({"customer_id": range(60)})}
    buckets = Spilled(tmp_path, memory=1, buckets=4).scatter(first).add(later)

    def strangers(tables: Tables) -> int:
        labelled = tables["touches"].join(tables["labels"], on="customer_id", how="anti")
        return int(labelled.select(pl.len()).collect().item())

    assert buckets.reduce(strangers, int.__add__) == 0
    assert buckets.gather("labels").collect().height == 60


def test_a_partitioning_that_cuts_through_a_customer_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_row = (pl.int_range(pl.len(), dtype=pl.Int32) % 3).alias("bucket")
    monkeypatch.setattr("histories.engines.spilled.bucket_of", lambda cuts: by_row)
    with pytest.raises(DataError, match=r"3 buckets hold customers of another bucket, first bucket 0"):
        Spilled(tmp_path, memory=1, buckets=3).scatter(many_rows())


def test_no_buckets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="buckets is 0; allowed: 1 or more"):
        Spilled(tmp_path, memory=1, buckets=0)


def test_memory_computes_nothing_before_it_is_asked_to() -> None:
    def reads(rows: pl.DataFrame) -> pl.DataFrame:
        raise LookupError("read")

    frames = many_rows()
    watched = {
        name: frame.map_batches(reads, schema=frame.collect_schema()) for name, frame in frames.items()
    }
    made = Local().scatter(watched).map(lambda tables: {"purchases": purchases_of(tables)})
    with pytest.raises(LookupError, match="read"):
        made.gather("purchases").collect()


def test_what_a_killed_process_left_goes_with_the_next_one_and_what_runs_stays(tmp_path: Path) -> None:
    text = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from histories.engines.spill import spill_folder
        with spill_folder(Path(sys.argv[1])) as folder:
            (folder / "rows.parquet").write_bytes(b"0" * 100)
            print("ready", flush=True)
            time.sleep(60)
        """
    )
    call = [sys.executable, "-c", text, str(tmp_path)]
    with subprocess.Popen(call, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        process.stdout.readline()
        [running] = tmp_path.glob(".spill-*")
        with spill_folder(tmp_path) as own:
            assert running.exists()
            assert own.exists()
        assert not own.exists()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert running.exists()
    with spill_folder(tmp_path):
        assert not running.exists()


@pytest.fixture
def small_files() -> Iterator[None]:
    """The system takes no file above 20 kB, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    rows = pl.LazyFrame({"customer_id": range(100_000)})
    with pytest.raises(StorageError, match="The folder of buckets could not be written") as refused:
        Spilled(tmp_path, memory=1, buckets=2).scatter({"rows": rows})
    assert refused.value.full
    assert str(tmp_path) not in str(refused.value)

    few = Spilled(tmp_path, memory=1, buckets=2).scatter({"rows": pl.LazyFrame({"customer_id": [1, 2]})})
    with pytest.raises(StorageError, match="Free space, then repeat"):
        few.map(lambda tables: {"more": rows})


def test_paths_counted_in_parts_are_those_of_the_whole() -> None:
    journeys = walk_of(many_rows()).journeys.collect()
    parts = [count_path_texts(part.lazy()) for part in journeys.partition_by("customer_id")]
    assert_frame_equal(merge_paths(pl.concat(parts)).collect(), count_paths(journeys.lazy()).collect())
