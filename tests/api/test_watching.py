"""What is served is watched whatever happens to it: loops, losses, damage, failures that pass."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from api.settings import Settings
from experiments.bundle.leftovers import find_leftovers
from experiments.bundle.manifest import MANIFEST, read_manifest
from experiments.bundle.reading import load_bundle
from experiments.bundle.writing import seal_bundle
from experiments.champion import promote_bundle
from experiments.tombstones import add_tombstone
from histories.errors import BundleError
from tests.running import eventually, running
from tests.sample_bundle import write_sample


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for number in (1, 2):
        write_sample(tmp_path / f"v{number}", n=12, seed=number, version=f"v{number}")
    promote_bundle(tmp_path, tmp_path / "v1", "test")
    return tmp_path


def _settings(runs: Path) -> Settings:
    return Settings(runs=runs, watch_seconds=0.05, access_log=False)


def _version(client: httpx.Client) -> str:
    return str(client.get("/v1/model").json()["model_version"])


def _refusal(client: httpx.Client) -> str:
    return str(client.get("/health/ready").json()["refusal"])


def _point(runs: Path, target: str) -> None:
    (runs / "champion").unlink()
    (runs / "champion").symlink_to(target)


@pytest.mark.parametrize("target", ["champion", "nowhere", "/etc"])
def test_a_link_that_leads_to_no_bundle_is_said_and_left_behind(runs: Path, target: str) -> None:
    with running(_settings(runs)) as client:
        _point(runs, target)
        assert eventually(lambda: "leads to no bundle" in _refusal(client))
        assert _version(client) == "v1"
        _point(runs, "v2")
        assert eventually(lambda: _version(client) == "v2")
        assert _refusal(client) == "None"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"erasure": None}, "erasure"),
        ({"erasure": "none"}, "erasure"),
        ({"model_version": None}, "model_version"),
        ({"model_version": "a\r\nb"}, "model_version"),
        ({"tables": []}, "tables"),
        ({"drift": None}, "drift"),
        ({"format": True}, "format"),
        ({"format": 1.0}, "format"),
    ],
)
def test_a_manifest_that_lacks_what_is_needed_is_refused_by_its_place(
    runs: Path, changes: dict[str, Any], word: str
) -> None:
    content, _ = read_manifest(runs / "v2")
    del content["checksums"]
    seal_bundle(runs / "v2", {**content, **changes})
    with pytest.raises(BundleError, match=word):
        load_bundle(runs / "v2")


def test_a_bundle_with_a_wrong_manifest_is_refused_by_the_service_which_serves_on(runs: Path) -> None:
    content, _ = read_manifest(runs / "v2")
    del content["checksums"]
    seal_bundle(runs / "v2", {**content, "erasure": None})
    with running(_settings(runs)) as client:
        _point(runs, "v2")
        assert eventually(lambda: "erasure" in _refusal(client))
        assert _version(client) == "v1"


@pytest.mark.parametrize("checksums", [[], {}, {"model.json": 1}, {"../x": "0" * 64}])
def test_a_manifest_with_other_checksums_is_refused(runs: Path, checksums: Any) -> None:
    content, _ = read_manifest(runs / "v2")
    if isinstance(checksums, dict) and checksums:
        checksums = {**content["checksums"], **checksums}
    data = orjson.dumps({**content, "checksums": checksums})
    import hashlib

    for name, written in (
        (MANIFEST, data),
        ("manifest.json.sha256", f"{hashlib.sha256(data).hexdigest()}  {MANIFEST}\n".encode()),
    ):
        (runs / "v2" / name).chmod(0o644)
        (runs / "v2" / name).write_bytes(written)
    with pytest.raises(BundleError, match=r"checksum|not inside"):
        load_bundle(runs / "v2")


def test_what_fails_for_a_while_is_tried_again(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([errno.EMFILE, errno.EIO, errno.ENOMEM])
    from experiments.bundle import reading

    original = reading.file_checksum

    def checksum(path: Path) -> str:
        if "v2" in path.parts and (error := next(failures, None)) is not None:
            raise OSError(error, os.strerror(error))
        return original(path)

    monkeypatch.setattr(reading, "file_checksum", checksum)
    with running(_settings(runs)) as client:
        _point(runs, "v2")
        assert eventually(lambda: _version(client) == "v2")
        assert "tributary_bundle_refusals_total 3.0" in client.get("/metrics").text


def test_the_watcher_outlives_any_exception(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from api import watcher

    original, calls = watcher.champion_signature, iter(range(3))

    def signature(path: Path) -> Any:
        if next(calls, None) is not None:
            raise ZeroDivisionError
        return original(path)

    with running(_settings(runs)) as client:
        monkeypatch.setattr(watcher, "champion_signature", signature)
        promote_bundle(runs, runs / "v2", "test")
        assert eventually(lambda: _version(client) == "v2")
        assert "tributary_watch_failures_total 3.0" in client.get("/metrics").text


def test_a_file_written_over_while_it_is_served_ends_readiness_until_it_is_mended(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = runs / "v1" / "serving" / "customers" / "total_value.npy"
    kept = path.read_bytes()
    with running(_settings(runs)) as client:
        before = client.get("/v1/customers/7/value").json()
        path.chmod(0o644)
        path.write_bytes(b"")
        assert eventually(lambda: client.get("/health/ready").status_code == 503)
        assert "total_value.npy was changed" in _refusal(client)
        assert client.get("/v1/customers/7/value").json() == before  # small columns are in memory
        path.write_bytes(kept)
        assert eventually(lambda: client.get("/health/ready").status_code == 200)


def test_a_folder_that_is_lost_is_said_and_everything_is_still_answered(runs: Path) -> None:
    with running(_settings(runs)) as client:
        shutil.rmtree(runs / "v1")
        assert eventually(lambda: "leads to no bundle" in _refusal(client))
        for path in ("customers/7/value", "attribution", "effects", "model", "reports/latest", "customers"):
            assert client.get(f"/v1/{path}").status_code == 200


def test_files_of_a_bundle_are_read_only(runs: Path) -> None:
    files = [path for path in (runs / "v1").rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o222 for path in files} == {0}


@pytest.mark.parametrize("name", [".v9.abcd1234.partial", ".v1.rewritten", ".v1.old"])
def test_what_a_killed_writer_left_is_swept_at_the_start(runs: Path, name: str) -> None:
    shutil.copytree(runs / "v1", runs / name)
    (runs / ".kept").mkdir()
    assert len(find_leftovers(runs)) == 1
    with running(_settings(runs)):
        assert eventually(lambda: find_leftovers(runs) == [], seconds=60)
    assert (runs / "v1").is_dir()
    assert (runs / ".kept").is_dir()


def test_a_bundle_that_was_taken_away_but_not_put_back_is_put_back(runs: Path) -> None:
    from experiments.bundle.leftovers import sweep

    (runs / "v1").rename(runs / ".v1.old")
    shutil.copytree(runs / "v2", runs / ".v1.rewritten")
    assert sweep(runs) == 1
    assert load_bundle(runs / "v1").model_version == "v2"


def test_a_rewriting_that_fails_is_told_with_its_cause_and_repeated(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (runs / "v2" / "customers.parquet").chmod(0o644)
    kept = (runs / "v2" / "customers.parquet").read_bytes()
    (runs / "v2" / "customers.parquet").write_bytes(b"")
    with running(_settings(runs)) as client:
        assert client.delete("/v1/customers/7").status_code == 204
        assert eventually(
            lambda: "tributary_rewriting_failures_total 1.0" in client.get("/metrics").text, seconds=60
        )
        assert "tributary_erasures_pending 1.0" in client.get("/metrics").text
        (runs / "v2" / "customers.parquet").write_bytes(kept)
        assert eventually(lambda: "tributary_erasures_pending 0.0" in client.get("/metrics").text, seconds=60)
    assert b"1 damaged bundles could not be rewritten" in capfdbinary.readouterr().err


def test_an_erasure_on_a_full_disk_is_refused_and_nothing_is_lost(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_tombstone(runs, 3)
    with running(Settings(runs=runs, watch_seconds=60, access_log=False)) as client:
        with monkeypatch.context() as patch:

            def full(*_: object) -> None:
                raise OSError(errno.ENOSPC, "No space left on device")

            patch.setattr("os.fsync", full)
            refused = client.delete("/v1/customers/7")
            assert (refused.status_code, refused.json()["type"]) == (507, "urn:tributary:problems#disk-full")
            assert client.get("/v1/customers/7/value").status_code == 200
            assert client.get("/v1/customers/3/value").status_code == 404
        assert client.delete("/v1/customers/7").status_code == 204
        assert client.get("/v1/customers/7/value").status_code == 404
