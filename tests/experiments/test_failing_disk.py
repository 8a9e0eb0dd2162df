"""Every write, fsync, rename and truncation fails in turn: what was there stays, and repeating ends well."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.keys import create_key, load_keys
from experiments.bundle.leftovers import find_bundles, find_leftovers
from experiments.bundle.reading import load_bundle
from experiments.bundle.writing import refuse_taken
from experiments.champion import champion, champion_log, promote_bundle, rollback_bundle
from experiments.rewriting import forget_customer
from experiments.tombstones import AUDIT, load_tombstones
from experiments.tracking import open_run
from histories.durable import (
    appearing_whole,
    appended,
    locked,
    read_lines,
    refused_by_system,
    storage_error,
    write_whole,
)
from histories.engines.spill import spill_folder
from histories.errors import StorageError
from tests.sample_bundle import write_anew, write_sample

CALLS = ((os, "open"), (os, "write"), (os, "fsync"), (os, "replace"), (os, "rename"), (os, "symlink"))
WRITERS = (
    "polars.DataFrame.write_parquet",
    "numpy.save",
    "pathlib.Path.write_bytes",
    "pathlib.Path.write_text",
)


class Disk:
    """Counts the calls that reach the disk, and lets the one numbered `failing` fail."""

    def __init__(self, patch: pytest.MonkeyPatch, *, failing: int | None, error: int) -> None:
        self.calls, self._failing, self._error = 0, failing, error
        for owner, name in CALLS:
            patch.setattr(owner, name, self._counted(name, getattr(owner, name)))
        for target in WRITERS:
            owner_name, _, name = target.rpartition(".")
            owner = pytest.importorskip(owner_name.partition(".")[0])
            for part in owner_name.split(".")[1:]:
                owner = getattr(owner, part)
            patch.setattr(target, self._counted(name, getattr(owner, name)))

    def _counted(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if name == "open" and not args[1] & (os.O_WRONLY | os.O_RDWR):
                return original(*args, **options)
            self.calls += 1
            if self.calls != self._failing:
                return original(*args, **options)
            if name == "write" and self._error == 0:  # a short write, after which the disk is full
                self._failing, self._error = self.calls + 1, errno.ENOSPC
                return original(args[0], bytes(args[1])[: len(args[1]) // 2])
            raise OSError(self._error or errno.EIO, os.strerror(self._error or errno.EIO))

        return call


def _each_failure(
    start: Path, work: Path, act: Callable[[Path], Any], *, every: int = 1
) -> Iterator[tuple[Path, bool]]:
    """Run `act` on a copy of `start` once for each call and error; gives the copy, and whether it raised."""
    shutil.copytree(start, work / "counted", symlinks=True)
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, failing=None, error=0)
        act(work / "counted")
    assert disk.calls > 3
    for error in (errno.ENOSPC, errno.EIO, 0):
        for failing in range(1, disk.calls + 1, every):
            copy = work / f"{error}-{failing}"
            shutil.copytree(start, copy, symlinks=True)
            raised = False
            with pytest.MonkeyPatch.context() as patch:
                Disk(patch, failing=failing, error=error)
                try:
                    act(copy)
                except StorageError:
                    raised = True
            yield copy, raised
            shutil.rmtree(copy)


def test_a_key_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    create_key(tmp_path / "start" / "keys.json", scopes=["read"], name="old")

    def act(copy: Path) -> None:
        create_key(copy / "keys.json", scopes=["batch"], name="new")

    outcomes = set()
    for copy, raised in _each_failure(tmp_path / "start", tmp_path, act):
        names = [key.name for key in load_keys(copy / "keys.json").values()]
        assert names in (["old"], ["old", "new"])
        assert raised or names == ["old", "new"]
        assert sorted(path.name for path in copy.iterdir()) == [".keys.json.lock", "keys.json"]
        outcomes.add((raised, len(names)))
    assert outcomes == {(True, 1), (True, 2)}  # (True, 2): only the folder's own fsync failed


@pytest.mark.parametrize("action", ["promote", "rollback"])
@pytest.mark.parametrize("every", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_a_promotion_that_fails_leaves_link_and_log_of_one_mind(
    tmp_path: Path, action: str, every: int
) -> None:
    start = tmp_path / "start"
    for name in ("a", "b"):
        promote_bundle(start, write_sample(start / name, n=2), "test")
    served, other = ("b", "a")

    def act(copy: Path) -> None:
        if action == "promote":
            promote_bundle(copy, copy / "a", "test")
        else:
            rollback_bundle(copy, "test")

    outcomes = set()
    for copy, raised in _each_failure(start, tmp_path, act, every=every):
        found = champion(copy)
        assert found is not None
        load_bundle(found)
        assert champion_log(copy)[-1]["bundle"] == found.name
        assert found.name == other or raised
        if found.name == served:
            act(copy)
        assert champion(copy) == copy / other
        outcomes.add((raised, found.name))
    assert (True, served) in outcomes


@pytest.mark.parametrize("every", [97, pytest.param(1, marks=pytest.mark.slow)])
def test_an_erasure_that_fails_loses_nothing_and_can_be_repeated(tmp_path: Path, every: int) -> None:
    start = tmp_path / "start"
    write_sample(start / "a", n=2)
    forget_customer(start, "1", who="test")

    def act(copy: Path) -> None:
        forget_customer(copy, "2", who="test")

    refused = 0
    for copy, raised in _each_failure(start, tmp_path, act, every=every):
        refused += raised
        tombstones = load_tombstones(copy)
        assert len(tombstones.digests) in (1, 2)
        erased = sum(b'"erased"' in line for line in read_lines(copy / AUDIT))
        assert erased == len(tombstones.digests)
        for folder in find_bundles(copy):
            load_bundle(folder)
        act(copy)
        assert len(load_tombstones(copy).digests) == 2
        assert find_leftovers(copy) == []
        (folder,) = find_bundles(copy)
        assert load_bundle(folder).table("customers").is_empty()
    assert refused > 3


@pytest.mark.parametrize("every", [47, pytest.param(1, marks=pytest.mark.slow)])
def test_a_bundle_that_cannot_be_written_leaves_nothing(tmp_path: Path, every: int) -> None:
    start = tmp_path / "start"
    start.mkdir()

    def act(copy: Path) -> None:
        write_anew(copy / "a", n=2)

    refused = 0
    for copy, raised in _each_failure(start, tmp_path, act, every=every):
        refused += raised
        found = list(find_bundles(copy))
        assert [folder.name for folder in found] in ([], ["a"])
        assert raised or found
        assert find_leftovers(copy) == []
        for folder in found:
            load_bundle(folder)
    assert refused > 3


def test_what_an_interrupted_write_left_in_a_log_is_not_read_and_goes_with_the_next_line(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b'{"a":1}\n{"a":')
    assert read_lines(path) == [b'{"a":1}']
    with appended(path, b'{"a":2}'):
        pass
    assert path.read_bytes() == b'{"a":1}\n{"a":2}\n'
    with pytest.raises(KeyError), appended(path, b'{"a":3}'):
        raise KeyError
    assert read_lines(path) == [b'{"a":1}', b'{"a":2}']


def test_a_list_of_the_erased_that_was_made_on_a_full_disk_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "tombstones.txt").touch()
    assert load_tombstones(tmp_path).digests == ()
    write_sample(tmp_path / "a", n=2)
    forget_customer(tmp_path, "1", who="test")
    assert len(load_tombstones(tmp_path).digests) == 1


def test_a_file_that_a_reader_holds_stays_whole_while_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_whole(path, b"old" * 1000)
    with path.open("rb") as stream:
        write_whole(path, b"new")
        assert stream.read() == b"old" * 1000
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("said", "number"),
    [
        (OSError("No space left on device (os error 28)"), errno.ENOSPC),  # Polars, writing a table
        (OSError("16097 requested and 12256 written"), errno.ENOSPC),  # NumPy, writing an array
        (shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")]), errno.ENOSPC),  # copying
        (ValueError("(sqlite3.OperationalError) database or disk is full"), errno.ENOSPC),
        (ValueError("attempt to write a readonly database"), errno.EROFS),
        (PermissionError(errno.EACCES, "Permission denied"), errno.EACCES),
    ],
)
def test_what_the_system_refused_is_told_whoever_passes_it_on(said: Exception, number: int) -> None:
    found = refused_by_system(said)
    assert found is not None
    assert found.errno == number
    told = storage_error("a", found)
    assert told.full == (number == errno.ENOSPC)
    assert os.strerror(number) in str(told)
    assert refused_by_system(ValueError("12 requested")) is None


def test_a_full_disk_is_told_although_it_takes_no_record_of_it_either(
    tmp_path: Path, mlruns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mlflow.MlflowClient.set_tag", refuse)
    with pytest.raises(StorageError, match="buckets"), open_run("acme", mlruns=mlruns):
        raise StorageError("the buckets did not fit", full=True)
    with (
        pytest.raises(StorageError, match="bundle-1 is written and can be served, but MLflow could not keep"),
        open_run("acme", mlruns=mlruns) as record,
        record.keeping(tmp_path / "bundle-1"),
    ):
        refuse()


def test_a_record_of_runs_whose_making_failed_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    made = MlflowClient.search_experiments
    (tmp_path / ".mlflow.db.killed").touch()

    def fail(client: Any, **options: Any) -> Any:
        made(client, **options)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "search_experiments", fail)
        with pytest.raises(StorageError, match="No space left"), open_run("acme", mlruns=tmp_path):
            pass
    assert not (tmp_path / "mlflow.db").exists()
    with open_run("acme", mlruns=tmp_path):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mlflow.lock", "mlflow.db"]


@pytest.mark.parametrize("place", ["/proc", "a-file", "missing"])
def test_a_lock_where_nothing_can_be_made_is_refused_and_not_waited_for(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(_: float) -> None:
        raise AssertionError("it waits for a lock that it can never have")

    monkeypatch.setattr("time.sleep", wait)
    (tmp_path / "a-file").touch()
    if not (folder := tmp_path / place).exists() and place != "missing":
        pytest.skip("this system has no /proc")
    with (
        pytest.raises(StorageError, match="The lock bundles could not be written"),
        locked(folder, "bundles"),
    ):
        pass
    if place != "missing":
        with pytest.raises(StorageError, match="runs could not be written"), spill_folder(folder / "runs"):
            pass


def test_a_place_that_nobody_may_look_at_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = os.stat

    def forbidden(path: Any, *args: Any, **options: Any) -> Any:
        if "secret/" in str(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return stat(path, *args, **options)

    (tmp_path / "secret").touch()
    monkeypatch.setattr(os, "stat", forbidden)
    with pytest.raises(StorageError, match="secret takes nothing new"):
        refuse_taken(tmp_path / "secret" / "bundle")


def test_a_place_that_takes_nothing_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    for place in (tmp_path / "a-file" / "bundle", tmp_path / "a-file" / "deep" / "bundle"):
        with pytest.raises(StorageError, match=r"a-file takes nothing new \(Not a directory\)"):
            refuse_taken(place)
    refuse_taken(tmp_path / "new" / "bundle")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-file"]


def test_a_file_that_appears_whole_is_not_there_when_its_writing_fails(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("old")

    def fail() -> None:
        with appearing_whole(tmp_path / "scores.csv") as fresh:
            fresh.write_text("half")
            raise OSError("No space left on device (os error 28)")

    with pytest.raises(StorageError, match=r"scores\.csv could not be written"):
        fail()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
    with appearing_whole(tmp_path / "scores.csv") as fresh:
        fresh.write_text("new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["new"]
