"""A folder that fills is followed: each row counts once, whatever is repeated, half written or killed."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from experiments.bundle.reading import load_bundle
from experiments.config import RunConfig, parse_config
from experiments.following import Delivered, Followed, follow, last_followed, maker
from experiments.inputs import read_inputs
from histories.errors import ConfigError, DataError, StorageError
from tests.experiments.small import TREE, merged, small_company
from tests.object_storage import running_s3

ORDERS = small_company(60)["transactions"].splitlines()
HEADER, ROWS = ORDERS[0], sorted(ORDERS[1:], key=lambda row: row.split(",")[1])


def deliver(folder: Path, name: str, rows: list[str]) -> Path:
    """A file as a shop delivers it, at a time of its own."""
    file = folder / "orders" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return file


def configure(folder: Path, **keys: Any) -> RunConfig:
    tree = {key: value for key, value in TREE.items() if key not in ("observation_end", "calibration_end")}
    methods = {"attribution": {"methods": ["last"]}, "inputs": {"transactions": "orders"}}
    return parse_config(merged(merged(tree, methods), keys), base_dir=folder)


class Shop:
    """Takes deliveries between the looks, and bundles that are lists of rows."""

    def __init__(self, folder: Path, *events: Callable[[], object]) -> None:
        self.folder, self.events, self.bundles = folder, list(events), []
        self.failing: list[Exception] = []
        self.read: Callable[[RunConfig], pl.DataFrame] = self.rows_of_files

    def make(self, config: RunConfig, delivered: Delivered, before: Path | None) -> tuple[Path, bool]:
        if self.failing:
            raise self.failing.pop()
        self.bundles.append(self.read(config))
        return self.folder / f"bundle-{delivered.number}", False

    def rows_of_files(self, config: RunConfig) -> pl.DataFrame:
        files = [self.folder / name for name in config.inputs["transactions"][0].files]
        return pl.concat([pl.read_csv(file, infer_schema=False) for file in files])

    def wait(self, seconds: float) -> None:
        if not self.events:
            raise KeyboardInterrupt
        self.events.pop(0)()

    def looks(self, place: str = "orders") -> Iterator[Followed]:
        config = configure(self.folder, inputs={"transactions": place})
        found = follow(config, runs=self.folder / "runs", make=self.make, every=1.0, wait=self.wait)
        try:
            yield from found
        except KeyboardInterrupt:
            return


def nothing() -> None:
    """Time passes."""


def test_a_file_counts_when_it_is_whole_and_no_row_counts_twice(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", ROWS[:50])
    shop = Shop(
        tmp_path,
        nothing,  # a is the same in two looks: the first bundle
        lambda: deliver(tmp_path, "b.csv", ROWS[50:60]),  # begun
        lambda: deliver(tmp_path, "b.csv", ROWS[50:100]),  # goes on: not the same as before
        nothing,  # whole: the second bundle
        lambda: shutil.copy(tmp_path / "orders/b.csv", tmp_path / "orders/again.csv"),
        nothing,
        nothing,
        lambda: deliver(tmp_path, "c.csv", ROWS[100:]),
        nothing,  # the third
    )
    told = list(shop.looks())
    assert [look.number for look in told if look.is_new] == [1, 2, 3]
    assert [bundle.height for bundle in shop.bundles] == [50, 100, len(ROWS)]
    assert shop.bundles[-1].unique().height == len(ROWS)
    assert [look.waiting for look in told] == [1, 0, 1, 1, 0, 1, 0, 0, 1, 0]
    assert [look.repeated for look in told] == [0] * 6 + [1] * 4


def test_a_file_that_is_corrected_is_read_anew_and_not_while_it_is_written(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", ROWS[:50])
    shop = Shop(
        tmp_path,
        nothing,
        lambda: (deliver(tmp_path, "a.csv", ROWS[:40]), deliver(tmp_path, "b.csv", ROWS[60:70])),
        lambda: deliver(tmp_path, "a.csv", ROWS[:60]),  # b could count, but a is counted and changes
        nothing,
    )
    list(shop.looks())
    assert [bundle.height for bundle in shop.bundles] == [50, 70]


def test_the_clock_may_go_backwards(tmp_path: Path) -> None:
    file = deliver(tmp_path, "a.csv", ROWS[:50])
    os.utime(file, (2**31, 2**31))  # from the future

    def corrected() -> None:
        os.utime(deliver(tmp_path, "a.csv", ROWS[1:51]), (1, 1))

    shop = Shop(tmp_path, nothing, corrected, nothing)
    list(shop.looks())
    assert [bundle.height for bundle in shop.bundles] == [50, 50]
    assert shop.bundles[1].rows() != shop.bundles[0].rows()


def test_a_file_that_goes_is_asked_for_and_its_rows_stay(tmp_path: Path) -> None:
    file, other = deliver(tmp_path, "a.csv", ROWS[:50]), deliver(tmp_path, "b.csv", ROWS[50:])
    shop = Shop(
        tmp_path, nothing, file.unlink, nothing, lambda: deliver(tmp_path, "a.csv", ROWS[:50]), nothing
    )
    told = list(shop.looks())
    assert len(shop.bundles) == 1
    assert other.exists()
    assert "1 of 2 files that the last bundle counts are gone, first orders/a.csv" in str(told[2].problem)
    assert [look.problem for look in told[4:]] == [None, None]


def test_what_cannot_be_read_is_told_once_and_a_full_disk_is_tried_again(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", ROWS[:50])
    shop = Shop(tmp_path, nothing, nothing, nothing, nothing)
    shop.failing = [StorageError("full", full=True), StorageError("full", full=True)]
    told = list(shop.looks())
    assert [look.problem for look in told] == [None, "full", "full", None, None]
    assert [look.is_new for look in told] == [False, False, False, True, False]
    shop.events = [nothing, nothing, lambda: deliver(tmp_path, "c.csv", ROWS[60:]), nothing]
    shop.failing = [DataError("rows are bad")]
    told = list(shop.looks())
    assert [look.problem for look in told] == [None, "rows are bad", None, None, None]
    assert told[-1].is_new


def test_what_cannot_be_followed_is_refused_at_once(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", ROWS)
    shop = Shop(tmp_path, nothing)

    def refused(match: str, **keys: Any) -> None:
        config = configure(tmp_path, **keys)
        with pytest.raises(ConfigError, match=match):
            next(follow(config, runs=tmp_path / "runs", make=shop.make, every=1.0, wait=shop.wait))

    refused("observation_end is 2025-12-31, so that rows after it", observation_end="2025-12-31")
    refused("inputs.touchpoints is a database", inputs={"touchpoints": "postgresql://host/shop"})
    first = follow(configure(tmp_path), runs=tmp_path / "runs", make=shop.make, every=1.0, wait=shop.wait)
    next(first)
    refused("followed by another process")
    first.close()


def test_named_files_alone_are_read_and_a_missing_one_is_refused(tmp_path: Path) -> None:
    deliver(tmp_path, "a.csv", ROWS[:50])
    deliver(tmp_path, "b.csv", ROWS[50:70])
    source = {"path": "orders", "files": ["orders/b.csv"]}
    config = configure(tmp_path, inputs={"transactions": source})
    assert read_inputs(config).tables["transactions"].rows_read == 20
    source["files"] = ["orders/b.csv", "orders/c.csv"]
    with pytest.raises(DataError, match=r"1 of 2 files are not in orders, first orders/c\.csv"):
        read_inputs(configure(tmp_path, inputs={"transactions": source}))


def test_a_delta_table_is_followed_by_its_log(tmp_path: Path) -> None:
    pytest.importorskip("deltalake")

    def write(rows: list[str], mode: Any) -> None:
        table = pl.read_csv(io.StringIO("\n".join([HEADER, *rows])))
        table.write_delta(str(tmp_path / "orders"), mode=mode)

    write(ROWS[:50], "error")
    (tmp_path / "orders/_delta_log/_sidecars").mkdir()
    shop = Shop(
        tmp_path,
        nothing,
        lambda: write(ROWS[50:60], "append"),
        nothing,
        lambda: write(ROWS[:20], "overwrite"),
        nothing,
    )
    shop.read = lambda config: read_inputs(config).tables["transactions"].valid.collect()
    list(shop.looks())
    assert [bundle.height for bundle in shop.bundles] == [50, 60, 20]


def test_objects_are_followed_by_their_tags(tmp_path: Path) -> None:
    with running_s3() as client:

        def put(name: str, rows: list[str]) -> None:
            client.put_object(
                Bucket="shop", Key=f"followed/{name}", Body="\n".join([HEADER, *rows, ""]).encode()
            )

        put("a.csv", ROWS[:50])
        shop = Shop(
            tmp_path,
            nothing,
            lambda: (put("b.csv", ROWS[50:60]), put("again.csv", ROWS[:50])),
            nothing,
            lambda: put("b.csv", ROWS[50:65]),
            nothing,
        )
        shop.read = lambda config: read_inputs(config).tables["transactions"].valid.collect()
        told = list(shop.looks("s3://shop/followed"))
    assert [bundle.height for bundle in shop.bundles] == [50, 60, 65]
    assert told[-1].repeated == 1


def test_a_process_that_is_killed_goes_on_with_every_row_once(tmp_path: Path, mlruns: Path) -> None:
    """With real bundles: killed after a bundle was written, and in the middle of the next."""
    runs = tmp_path / "runs"
    real = maker(runs=runs, mlruns=mlruns, memory=None, engine="local", step=lambda text: None)
    config = configure(tmp_path)
    deliver(tmp_path, "a.csv", ROWS[:200])

    class Killed(BaseException):
        pass

    def dying(*arguments: Any) -> tuple[Path, bool]:
        raise Killed

    def first_bundle(make: Any) -> Followed:
        found = follow(config, runs=runs, make=make, every=1.0, wait=lambda seconds: None)
        return next(look for look in found if look.is_new)

    assert first_bundle(real).number == 1
    deliver(tmp_path, "b.csv", ROWS[200:])
    deliver(tmp_path, "copy-of-a.csv", ROWS[:200])
    with pytest.raises(Killed):
        first_bundle(dying)
    look = first_bundle(real)
    assert (look.number, look.files, look.repeated) == (2, 2, 1)
    assert look.bundle is not None
    bundle = load_bundle(look.bundle)
    assert bundle.manifest["inputs"]["transactions"]["rows_read"] == len(ROWS)
    assert bundle.manifest["updated"]["of"] != bundle.manifest["model_version"]
    found = last_followed(runs, "small")
    assert found is not None
    assert found[0] == look.bundle
