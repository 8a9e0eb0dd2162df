"""A bundle stands alone, appears whole or not at all, and notices a changed byte."""

from __future__ import annotations

import errno
import random
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from experiments.bundle.manifest import FORMAT_VERSION
from experiments.bundle.reading import load_bundle
from experiments.bundle.reference import reference
from experiments.bundle.tables import TABLES
from experiments.bundle.writing import seal_bundle, write_bundle
from histories.errors import BundleError, StorageError
from tests.sample_bundle import sample_customers, sample_tables, write_anew

MANIFEST = {"run_id": "r1", "as_of": "2025-12-31"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_anew(tmp_path_factory.mktemp("bundle") / "b")


def test_what_was_written_is_read_back(bundle: Path) -> None:
    found = load_bundle(bundle)
    for name, frame in sample_tables().items():
        assert_frame_equal(found.table(name).select(frame.columns), frame, check_dtypes=False)
        assert_frame_equal(found.scan(name).collect(), found.table(name))
    assert found.model == {"chosen": None}
    assert found.file("report.json") == b'{"headline": "up"}'
    assert found.rejected()["transactions"].height == 1
    assert found.manifest["format"] == FORMAT_VERSION
    assert found.manifest["model_version"] == "b"


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_table_that_was_not_made_is_there_empty_and_typed(tmp_path: Path, name: str) -> None:
    write_bundle(tmp_path / "b", tables={}, manifest=MANIFEST, model={})
    table = load_bundle(tmp_path / "b").table(name)
    assert table.height == 0
    assert table.schema == pl.Schema(TABLES[name].schema)


def test_a_file_that_is_not_the_bundles_own_is_not_read(bundle: Path) -> None:
    found = load_bundle(bundle)
    (bundle.parent / "secret").write_text("secret")
    for name in ("../secret", "rejected/transactions.parquet", "report.pdf", "", "/etc/passwd"):
        assert found.file(name) is None


def test_the_seal_can_be_checked_with_sha256sum(bundle: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--quiet", "manifest.json.sha256"], cwd=bundle, check=True)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"customer": sample_customers()}, r'no table "customer"; did you mean "customers"\?'),
        ({"customers": sample_customers().drop("decile")}, r"missing columns \['decile'\]"),
        ({"roi": pl.DataFrame({"scenario": ["a"]})}, "missing columns"),
        ({"customers": sample_customers().with_columns(x=1)}, r"unknown columns \['x'\]"),
        ({"customers": sample_customers().with_columns(decile=pl.lit("one"))}, "another type"),
        ({"customers": pl.concat([sample_customers()] * 2)}, "50 repeated ids"),
    ],
)  # fmt: skip
def test_a_table_of_another_form_is_refused(
    tmp_path: Path, tables: dict[str, pl.DataFrame], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        write_bundle(tmp_path / "b", tables=tables, manifest=MANIFEST, model={})
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_bundle_that_was_moved_since_it_was_opened_says_so(bundle: Path, tmp_path: Path) -> None:
    opened = load_bundle(Path(shutil.copytree(bundle, tmp_path / "b")))
    (tmp_path / "b").rename(tmp_path / "c")
    with pytest.raises(BundleError, match="customers is not there any more: the bundle was moved or deleted"):
        opened.table("customers")
    assert load_bundle(tmp_path / "c").table("customers").height


def test_a_bundle_is_never_written_over(bundle: Path) -> None:
    with pytest.raises(BundleError, match="exists already"):
        write_anew(bundle)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"could not be written \(No space left on device\)"):
        write_anew(tmp_path / "b")
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_run_that_is_killed_leaves_no_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.bundle.writing.write_serving", killed)
    with pytest.raises(KeyboardInterrupt):
        write_anew(tmp_path / "b")
    assert not (tmp_path / "b").exists()


def _refused_when_changed(bundle: Path, folder: Path, *, changes: int) -> None:
    copy = folder / "copy"
    shutil.copytree(bundle, copy)
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    sizes = [path.stat().st_size for path in files]
    rng = random.Random(1)
    for _ in range(changes):
        (path,) = rng.choices(files, weights=sizes)
        position = rng.randrange(path.stat().st_size)
        with path.open("r+b") as stream:
            stream.seek(position)
            old = stream.read(1)
            stream.seek(position)
            stream.write(bytes([old[0] ^ (1 << rng.randrange(8))]))
        with pytest.raises(BundleError):
            load_bundle(copy)
        with path.open("r+b") as stream:
            stream.seek(position)
            stream.write(old)
    load_bundle(copy)


def test_any_changed_byte_is_refused(bundle: Path, tmp_path: Path) -> None:
    _refused_when_changed(bundle, tmp_path, changes=25)


@pytest.mark.slow
def test_two_hundred_changed_bytes_are_refused_one_by_one(bundle: Path, tmp_path: Path) -> None:
    _refused_when_changed(bundle, tmp_path, changes=200)


def test_every_missing_file_is_refused(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    for path in [path for path in copy.rglob("*") if path.is_file()]:
        data = path.read_bytes()
        path.unlink()
        with pytest.raises(BundleError):
            load_bundle(copy)
        path.write_bytes(data)


@pytest.mark.parametrize(
    ("version", "word"), [(0, "older format 0"), (99, "other format 99"), (None, "other format")]
)
def test_another_format_is_refused_with_the_next_step(tmp_path: Path, version: int | None, word: str) -> None:
    path = write_anew(tmp_path / "b")
    content = {key: value for key, value in load_bundle(path).manifest.items() if key != "checksums"}
    seal_bundle(path, {**content, "format": version})
    with pytest.raises(BundleError, match=rf"{word}.*tributary run"):
        load_bundle(path)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is no bundle"):
        load_bundle(tmp_path)


def test_an_id_that_no_address_can_carry_is_refused(tmp_path: Path) -> None:
    frame = sample_customers(2, text=True)
    long = frame.with_columns(customer_id=pl.Series(["x" * 300, "y"]))
    with pytest.raises(BundleError, match="300 bytes; at most 255"):
        write_anew(tmp_path / "b", tables={"customers": long})
    nul = frame.with_columns(customer_id=pl.Series(["x\0", "y"]))
    with pytest.raises(BundleError, match="NUL"):
        write_anew(tmp_path / "b", tables={"customers": nul})


def test_the_reference_of_the_tables_is_what_is_declared() -> None:
    page = Path(__file__).parents[2] / "docs" / "tables.md"
    again = "write it again: python -m experiments.bundle.reference > docs/tables.md"
    assert page.read_text(encoding="utf-8") == reference(), again
