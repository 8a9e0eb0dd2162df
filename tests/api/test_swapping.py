"""Bundles swapped, refused and rolled back while requests run; nobody notices."""

from __future__ import annotations

import asyncio
import errno
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.keys import create_key
from api.settings import Settings
from experiments.champion import champion, champion_log, promote_bundle, rollback_bundle
from tests.running import eventually, running
from tests.sample_bundle import sample_customers, write_sample


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two bundles with other figures under the same ids; the first is served."""
    for number in (1, 2):
        write_sample(tmp_path / f"v{number}", seed=number, version=f"v{number}")
    promote_bundle(tmp_path, tmp_path / "v1", "test")
    return tmp_path


def _version(client: httpx.Client) -> str:
    return str(client.get("/v1/model").json()["model_version"])


def test_a_promotion_and_a_rollback_are_followed(runs: Path) -> None:
    with running(Settings(runs=runs, watch_seconds=0.05, access_log=False)) as client:
        assert _version(client) == "v1"
        tag = client.get("/v1/customers/7/value").headers["etag"]
        promote_bundle(runs, runs / "v2", "test")
        assert eventually(lambda: _version(client) == "v2")
        assert client.get("/v1/customers/7/value", headers={"if-none-match": tag}).status_code == 200
        rollback_bundle(runs, "test")
        assert eventually(lambda: _version(client) == "v1")


def test_a_listing_that_began_before_a_promotion_goes_on_over_its_own_scores(runs: Path) -> None:
    with running(Settings(runs=runs, watch_seconds=0.05, access_log=False)) as client:
        whole = client.get("/v1/customers?limit=99").json()["customers"]
        first = client.get("/v1/customers?limit=20").json()
        promote_bundle(runs, runs / "v2", "test")
        assert eventually(lambda: _version(client) == "v2")
        second = client.get("/v1/customers", params={"limit": 99, "cursor": first["next"]})
        assert second.headers["x-model-version"] == second.json()["model_version"] == "v1"
        assert first["customers"] + second.json()["customers"] == whole
        assert client.get("/v1/customers?limit=1").json()["model_version"] == "v2"
        assert client.delete("/v1/customers/7").status_code == 204  # nobody is shown who was erased meanwhile
        ended = client.get("/v1/customers", params={"limit": 99, "cursor": first["next"]})
        assert ended.json()["type"].endswith("#stale-cursor")


@pytest.mark.parametrize(
    ("path", "rows"),
    [("/v1/care/cases?limit=1", "cases"), ("/v1/customers/changes?since=v2&limit=9", "customers")],
)
def test_every_listing_goes_on_over_the_scores_that_it_began_on(runs: Path, path: str, rows: str) -> None:
    promote_bundle(runs, runs / "v2", "test")
    promote_bundle(runs, runs / "v1", "test")
    with running(Settings(runs=runs, watch_seconds=0.05, access_log=False)) as client:
        address = str(httpx.URL(path).copy_merge_params({"limit": "1000"}))
        whole = client.get(address).raise_for_status().json()[rows]
        first = client.get(path)
        onward = first.links["next"]["url"]
        promote_bundle(runs, runs / "v2", "test")
        assert eventually(lambda: _version(client) == "v2")
        second = client.get(httpx.URL(onward).copy_set_param("limit", "1000"))
        assert second.headers["x-model-version"] == second.json()["model_version"] == "v1"
        assert first.json()[rows] + second.json()[rows] == whole
        assert client.delete("/v1/customers/7").status_code == 204
        assert client.get(onward).json()["type"].endswith("#stale-cursor")


def test_an_administrator_reloads_and_rolls_back_at_once(runs: Path, tmp_path: Path) -> None:
    key, _ = create_key(tmp_path / "keys.json", scopes=["admin", "read"], name="ops")
    settings = Settings(runs=runs, keys=tmp_path / "keys.json", watch_seconds=60, access_log=False)
    with running(settings) as client:
        client.headers["authorization"] = f"Bearer {key}"
        promote_bundle(runs, runs / "v2", "test")
        answer = client.post("/v1/admin/reload")
        assert answer.json() == {"model_version": "v2", "as_of": "2025-12-31", "changed": True}
        assert answer.headers["x-model-version"] == "v2"
        assert client.post("/v1/admin/reload").json()["changed"] is False
        assert client.post("/v1/admin/rollback").json()["model_version"] == "v1"
        refused = client.post("/v1/admin/rollback")
        assert (refused.status_code, refused.json()["type"]) == (
            409,
            "urn:tributary:problems#nothing-to-roll-back",
        )
    assert [(entry["action"], entry["who"]) for entry in champion_log(runs)][-1] == ("rollback", "ops")


def test_a_rollback_under_one_key_goes_back_once(runs: Path) -> None:
    write_sample(runs / "v3", seed=3, version="v3")
    for version in ("v2", "v3"):
        promote_bundle(runs, runs / version, "test")
    with running(Settings(runs=runs, watch_seconds=60, access_log=False)) as client:
        for _ in range(3):
            answer = client.post("/v1/admin/rollback", headers={"idempotency-key": "once"})
            assert answer.json()["model_version"] == "v2"
        again = client.post("/v1/admin/rollback", headers={"idempotency-key": "twice"})
        assert again.json()["model_version"] == "v1"
        assert client.post("/v1/admin/rollback", headers={"idempotency-key": "a b"}).status_code == 422


@pytest.mark.parametrize("damage", ["a byte", "a file", "an older format"])
def test_a_bad_bundle_is_refused_and_the_old_one_serves_on(runs: Path, damage: str) -> None:
    _damage(runs / "v2", damage)
    with running(Settings(runs=runs, watch_seconds=60, access_log=False)) as client:
        (runs / "champion").unlink()
        (runs / "champion").symlink_to("v2")
        refused = client.post("/v1/admin/reload")
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:tributary:problems#bundle-refused")
        word = {"a byte": "damaged", "a file": "missing", "an older format": "older format 0"}[damage]
        assert word in refused.json()["detail"]
        ready = client.get("/health/ready")
        assert ready.status_code == 200
        assert word in ready.json()["refusal"]
        assert _version(client) == "v1"
        assert "tributary_bundle_refusals_total 1.0" in client.get("/metrics").text
        shutil.rmtree(runs / "v2")
        write_sample(runs / "v2", version="v2")
        assert client.post("/v1/admin/reload").json()["model_version"] == "v2"
        assert client.get("/health/ready").json()["refusal"] is None


def _damage(bundle: Path, damage: str) -> None:
    if damage == "a byte":
        path = bundle / "serving" / "customers" / "total_value.npy"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    elif damage == "a file":
        (bundle / "model.json").unlink()
    else:
        from experiments.bundle.manifest import read_manifest
        from experiments.bundle.writing import seal_bundle

        content = {k: v for k, v in read_manifest(bundle)[0].items() if k != "checksums"}
        seal_bundle(bundle, {**content, "format": 0})


def test_a_full_disk_at_a_promotion_leaves_what_is_served(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with running(Settings(runs=runs, watch_seconds=60, access_log=False)) as client:
        promote_bundle(runs, runs / "v2", "test")
        client.post("/v1/admin/reload")
        monkeypatch.setattr("os.fsync", full)
        refused = client.post("/v1/admin/rollback")
        assert (refused.status_code, refused.json()["type"]) == (507, "urn:tributary:problems#disk-full")
        assert "No space left" in refused.json()["detail"]
        assert client.post("/v1/admin/reload").json()["model_version"] == "v2"
    assert champion(runs) == (runs / "v2").resolve()
    assert [path.name for path in runs.glob(".champion.*")] == [".champion.lock"]


async def _load(url: str, stop: asyncio.Event, expected: dict[str, dict[str, float]], most: int) -> int:
    """Ask as fast as it goes, scores and batches; every answer must be whole and of one version."""
    done = 0
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        while not stop.is_set() and done < most:
            if done % 10:
                answer = await client.get("/v1/customers/7/value")
                found = {"7": answer.json()["total_value"]}
            else:
                ids = ["3", "7", "11"]
                answer = await client.post(
                    "/v1/customers/values", json={"ids": ids, "fields": ["total_value"]}
                )
                found = dict(zip(ids, answer.json()["columns"]["total_value"], strict=True))
            assert answer.status_code == 200
            version = answer.headers["x-model-version"]
            assert answer.json()["model_version"] == version
            assert found == {key: expected[version][key] for key in found}
            done += 1
    return done


def _rows(seed: int, n: int = 50) -> list[dict[str, Any]]:
    return sample_customers(n, seed=seed).to_dicts()


def _swap_under_load(runs: Path, *, swaps: int, requests: int) -> int:
    expected = {
        f"v{seed}": {str(row["customer_id"]): row["total_value"] for row in _rows(seed)} for seed in (1, 2)
    }

    async def drive(client: httpx.Client) -> int:
        stop = asyncio.Event()
        each = -(-requests // 4)
        askers = [asyncio.create_task(_load(str(client.base_url), stop, expected, each)) for _ in range(4)]
        for number in range(swaps):
            await asyncio.to_thread(promote_bundle, runs, runs / f"v{2 - number % 2}", "test")
            wanted = f"v{2 - number % 2}"
            assert await asyncio.to_thread(eventually, lambda wanted=wanted: _version(client) == wanted)
        done = await asyncio.gather(*askers)
        stop.set()
        return sum(done)

    with running(Settings(runs=runs, watch_seconds=0.02, access_log=False)) as client:
        return asyncio.run(drive(client))


def test_swaps_under_load_fail_no_request_and_mix_no_versions(runs: Path) -> None:
    assert _swap_under_load(runs, swaps=5, requests=800) >= 800


@pytest.mark.slow
def test_fifty_swaps_under_ten_thousand_requests(runs: Path) -> None:
    assert _swap_under_load(runs, swaps=50, requests=10_000) >= 10_000


async def _watch_everybody(url: str, stop: asyncio.Event, expected: dict[str, dict[str, float]]) -> int:
    """Ask for everybody, as a batch and as a list: figures belong to their customers, and nothing fails."""
    done = 0
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        while not stop.is_set():
            body = {"ids": list(expected["v1"]), "fields": ["total_value"]}
            batch = (await client.post("/v1/customers/values", json=body)).raise_for_status().json()
            listed = (
                (await client.get("/v1/customers?limit=1000&sort=-total_value")).raise_for_status().json()
            )
            right = expected[batch["model_version"]]
            ids, values = batch["columns"]["customer_id"], batch["columns"]["total_value"]
            assert dict(zip(ids, values, strict=True)) == {name: right[name] for name in ids}
            right = expected[listed["model_version"]]
            for row in listed["customers"]:
                assert row["total_value"] == right[row["customer_id"]]
            (await client.get("/v1/attribution")).raise_for_status()
            done += 1
    return done


def _erase_and_promote_under_load(runs: Path, *, times: int, n: int = 50) -> int:
    expected = {f"v{v}": {str(row["customer_id"]): row["total_value"] for row in _rows(v, n)} for v in (1, 2)}
    names = list(expected["v1"])[:times]

    async def drive(client: httpx.Client) -> int:
        stop = asyncio.Event()
        askers = [
            asyncio.create_task(_watch_everybody(str(client.base_url), stop, expected)) for _ in range(2)
        ]
        for number in range(times):
            await asyncio.to_thread(promote_bundle, runs, runs / f"v{2 - number % 2}", "test")
            if number < len(names):
                answer = await asyncio.to_thread(client.delete, f"/v1/customers/{names[number]}")
                assert answer.status_code == 204
            await asyncio.to_thread(client.post, "/v1/admin/reload")
        stop.set()
        return sum(await asyncio.gather(*askers))

    with running(Settings(runs=runs, watch_seconds=0.02, access_log=False)) as client:
        return asyncio.run(drive(client))


def test_erasures_and_promotions_under_load_show_nobody_anothers_figures(runs: Path) -> None:
    assert _erase_and_promote_under_load(runs, times=6) > 0


@pytest.mark.slow
def test_a_hundred_erasures_and_promotions_under_load(tmp_path: Path) -> None:
    for number in (1, 2):
        write_sample(tmp_path / f"v{number}", n=150, seed=number, version=f"v{number}")
    promote_bundle(tmp_path, tmp_path / "v1", "test")
    assert _erase_and_promote_under_load(tmp_path, times=100, n=150) > 0
