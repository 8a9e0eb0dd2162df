"""Erasure on disk: every bundle rewritten whole, nothing else changed, nobody named."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from experiments.bundle.leftovers import find_bundles
from experiments.bundle.reading import load_bundle
from experiments.rewriting import forget_customer, out_of_reach, rewrite_bundles
from experiments.tombstones import FILE, add_tombstone, load_tombstones
from histories.errors import BundleError
from tests.sample_bundle import write_sample


@pytest.mark.parametrize("text", [False, True], ids=["integer ids", "text ids"])
def test_every_bundle_loses_the_rows_and_keeps_the_rest(tmp_path: Path, text: bool) -> None:
    name = "c-0003" if text else "3"
    before = {n: load_bundle(write_sample(tmp_path / n, text=text)) for n in ("a", "b")}
    tables = {n: {t: bundle.table(t) for t in bundle.manifest["tables"]} for n, bundle in before.items()}
    copies = tmp_path / "copies"
    write_sample(copies / "c", text=text)
    done = forget_customer(tmp_path, name, who="ann", also=[copies])
    assert [found.bundle for found in done] == ["a", "b", "c"]
    assert all(found.rows == {"customers": 1, "touchpoints": 3} for found in done)
    for n in ("a", "b"):
        after = load_bundle(tmp_path / n)
        assert after.model_version == before[n].model_version
        assert after.file("report.html") == before[n].file("report.html")
        for table, frame in tables[n].items():
            kept = frame
            if "customer_id" in frame.columns:
                kept = frame.filter(pl.col("customer_id").cast(pl.String).ne_missing(name))
            assert_frame_equal(after.table(table), kept)
    rejected = load_bundle(tmp_path / "a").rejected()["transactions"]
    assert rejected.height == (1 if text else 0)
    log = (tmp_path / "erasures.log").read_text()
    assert log.count("rewritten") == 3
    assert len((tmp_path / FILE).read_text().splitlines()) == 2
    assert f'"{name}"' not in log


def test_forgetting_twice_changes_nothing_the_second_time(tmp_path: Path) -> None:
    write_sample(tmp_path / "a")
    forget_customer(tmp_path, "3", who="ann")
    digest, log = load_bundle(tmp_path / "a").digest, (tmp_path / "erasures.log").read_text()
    assert forget_customer(tmp_path, "3", who="ann") == []
    assert load_bundle(tmp_path / "a").digest == digest
    assert (tmp_path / "erasures.log").read_text() == log


def test_a_customer_nobody_knows_is_not_forgotten(tmp_path: Path) -> None:
    write_sample(tmp_path / "a")
    with pytest.raises(BundleError, match="No bundle holds a customer"):
        forget_customer(tmp_path, "no-one", who="ann")
    assert not (tmp_path / FILE).exists()
    with pytest.raises(BundleError, match="no bundle in this folder"):
        forget_customer(tmp_path / "a" / "rejected", "3", who="ann")


def test_a_damaged_bundle_is_named_and_the_others_are_rewritten(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_sample(tmp_path / name)
    (tmp_path / "a" / "customers.parquet").write_bytes(b"")
    add_tombstone(tmp_path, "3")
    with pytest.raises(BundleError, match=r"1 damaged bundles .*: a\. Delete them"):
        rewrite_bundles(tmp_path)
    assert 3 not in load_bundle(tmp_path / "b").table("customers")["customer_id"].to_list()


def test_an_interrupted_rewrite_leaves_the_old_bundle_and_is_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sample(tmp_path / "a")
    add_tombstone(tmp_path, "3")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("experiments.rewriting._exchange", killed)
        with pytest.raises(KeyboardInterrupt):
            rewrite_bundles(tmp_path)
    assert load_bundle(tmp_path / "a").table("customers").height == 50
    assert [path.name for path in find_bundles(tmp_path)] == ["a"]
    assert len(rewrite_bundles(tmp_path)) == 1
    assert load_bundle(tmp_path / "a").table("customers").height == 49
    assert not list(tmp_path.glob(".a.*"))


def test_the_process_of_the_service_also_finds_mlflows_copies_beside_the_runs(tmp_path: Path) -> None:
    for folder in ("runs", "mlruns/artifacts"):
        write_sample(tmp_path / folder / "a")
    add_tombstone(tmp_path / "runs", "3")
    command = [sys.executable, "-m", "experiments.rewriting", str(tmp_path / "runs")]
    subprocess.run(command, check=True)
    assert load_bundle(tmp_path / "mlruns" / "artifacts" / "a").table("customers").height == 49


def test_folders_are_exchanged_even_where_the_system_cannot_do_it_in_one_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sample(tmp_path / "a")
    monkeypatch.setattr("experiments.rewriting.ctypes.CDLL", lambda *_, **__: object())
    forget_customer(tmp_path, "3", who="ann")
    assert load_bundle(tmp_path / "a").table("customers").height == 49


def test_a_tombstone_is_a_digest_under_a_key_of_its_own(tmp_path: Path) -> None:
    assert add_tombstone(tmp_path / "x", 3)
    assert not add_tombstone(tmp_path / "x", "3")
    assert add_tombstone(tmp_path / "y", 3)
    one, other = load_tombstones(tmp_path / "x"), load_tombstones(tmp_path / "y")
    assert one.digests != other.digests
    assert len(one.digests) == 1
    assert one.pending({"key": one.state()["key"], "tombstones": 1}) == frozenset()
    assert one.pending({"key": other.state()["key"], "tombstones": 1}) == frozenset(one.digests)
    assert (tmp_path / "x" / FILE).stat().st_mode & 0o077 == 0


def test_the_tables_that_erasure_does_not_reach_are_named_one_source_or_several(tmp_path: Path) -> None:
    inputs = {"transactions": [{"path": "a.csv"}, {"path": "b.csv"}], "cases": {"path": "c.csv"}}
    write_sample(tmp_path / "v1", configuration={"inputs": inputs})
    assert sorted(out_of_reach(tmp_path)) == ["a.csv", "b.csv", "c.csv"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-3],
        lambda text: text.replace("\n", "0\n", 1),
        lambda text: text.split("\n", 1)[1],
        lambda text: text + "zz\n",
    ],
    ids=["emptied", "a digest cut", "a longer key", "no key", "no digest"],
)
def test_a_list_of_erased_customers_that_was_damaged_is_never_taken_for_a_shorter_one(
    tmp_path: Path, damage: Callable[[str], str]
) -> None:
    add_tombstone(tmp_path, 7, audit=b'{"event":"erased"}')
    assert len(load_tombstones(tmp_path).digests) == 1
    file = tmp_path / FILE
    file.write_text(damage(file.read_text()))
    with pytest.raises(BundleError, match="damaged; erased customers might come back"):
        load_tombstones(tmp_path)


def test_a_list_that_was_made_and_never_filled_is_empty(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("")
    assert load_tombstones(tmp_path).digests == ()
