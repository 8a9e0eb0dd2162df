"""Erasure through the service: at once, for good, and with a trail that names nobody."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import polars as pl
import pytest

from api import Settings
from experiments.bundle.reading import load_bundle
from experiments.champion import promote_bundle
from experiments.tombstones import add_tombstone
from tests.running import eventually, running
from tests.sample_bundle import write_sample


@pytest.mark.parametrize("text", [False, True], ids=["integer ids", "text ids"])
def test_an_erased_customer_is_gone_everywhere_at_once_and_from_every_bundle_soon(
    tmp_path: Path, text: bool
) -> None:
    name = "c-0007" if text else "7"
    for number in (1, 2):
        write_sample(tmp_path / f"v{number}", text=text, version=f"v{number}")
    promote_bundle(tmp_path, tmp_path / "v2", "test")
    with running(Settings(runs=tmp_path, watch_seconds=0.05, access_log=False)) as client:
        assert client.delete(f"/v1/customers/{name}").status_code == 204
        _assert_gone(client, name)
        assert client.delete(f"/v1/customers/{name}").status_code == 204
        assert client.delete("/v1/customers/nobody").status_code == 404
        part = client.delete(f"/v1/customers/{name}/purchases")
        assert (part.status_code, part.headers["allow"]) == (405, "GET")

        def rewritten() -> bool:
            return (tmp_path / "erasures.log").read_text().count('"rewritten"') == 2

        assert eventually(rewritten, seconds=60)
        assert eventually(lambda: client.get("/v1/model").json()["customers"] == 49)
        _assert_gone(client, name)
    for number in (1, 2):
        bundle = load_bundle(tmp_path / f"v{number}")
        for table in ("customers", "touchpoints"):
            ids = bundle.table(table)["customer_id"].cast(pl.String)
            assert name not in ids.to_list()
        assert bundle.table("credits").height == 7
    trail = (tmp_path / "erasures.log").read_text() + (tmp_path / "tombstones.txt").read_text()
    assert f'"{name}"' not in trail


def _assert_gone(client: httpx.Client, name: str) -> None:
    assert client.get(f"/v1/customers/{name}/value").status_code == 404
    assert client.get(f"/v1/customers/{name}/touchpoints").status_code == 404
    batch = client.post("/v1/customers/values", json={"ids": [name]})
    assert batch.json()["unknown"] == [0]
    arrow = client.post(
        "/v1/customers/values",
        json={"ids": [name]},
        headers={"accept": "application/vnd.apache.arrow.stream"},
    )
    assert pl.read_ipc_stream(io.BytesIO(arrow.content)).height == 0
    listed = client.get("/v1/customers?limit=1000").json()["customers"]
    assert name not in [row["customer_id"] for row in listed]
    assert len(listed) == 49


def test_an_erasure_by_another_process_is_noticed_by_the_next_request(tmp_path: Path) -> None:
    bundle = write_sample(tmp_path / "v1")
    with running(Settings(bundle=bundle, watch_seconds=60, access_log=False)) as client:
        assert client.get("/v1/customers/7/value").status_code == 200
        add_tombstone(tmp_path, 7)
        assert client.get("/v1/customers/7/value").status_code == 404
        assert client.get("/v1/customers/8/value").status_code == 200


def test_a_run_over_old_input_does_not_bring_a_customer_back(tmp_path: Path) -> None:
    add_tombstone(tmp_path, "7")
    bundle = load_bundle(write_sample(tmp_path / "v1"))
    assert 7 not in bundle.table("customers")["customer_id"].to_list()
    assert 7 not in bundle.table("touchpoints")["customer_id"].to_list()


def test_a_copy_made_before_the_erasure_is_still_hidden(tmp_path: Path) -> None:
    bundle = write_sample(tmp_path / "elsewhere" / "v1")
    runs = tmp_path / "runs"
    add_tombstone(runs, 7)
    bundle.rename(runs / "v1")
    promote_bundle(runs, runs / "v1", "test")
    with running(Settings(runs=runs, watch_seconds=60, access_log=False)) as client:
        assert client.get("/v1/customers/7/value").status_code == 404


def test_a_damaged_list_of_erased_customers_stops_a_load_but_not_the_service(tmp_path: Path) -> None:
    bundle = write_sample(tmp_path / "v1")
    add_tombstone(tmp_path, 7)
    with running(Settings(bundle=bundle, watch_seconds=60, access_log=False)) as client:
        (tmp_path / "tombstones.txt").write_text("nonsense")
        assert client.get("/v1/customers/7/value").status_code == 404
        assert client.get("/v1/customers/8/value").status_code == 200
        refused = client.post("/v1/admin/reload")
        assert refused.status_code == 409
        assert "erased customers might come back" in refused.json()["detail"]


def test_pseudonyms_are_made_from_the_id_asked_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from histories.identity import pseudonym
    from tests.sample_bundle import sample_customers, sample_touchpoints

    secret = "0123456789abcdef0123456789abcdef"
    frame = sample_customers().with_columns(
        pl.col("customer_id").map_elements(lambda i: pseudonym(i, secret.encode()), return_dtype=pl.String)
    )
    tables = {"customers": frame, "touchpoints": sample_touchpoints(frame)}
    monkeypatch.setenv("TRIBUTARY_ID_KEY", secret)
    bundle = write_sample(tmp_path / "v1", tables=tables)
    with running(Settings(bundle=bundle, access_log=False)) as client:
        one = client.get("/v1/customers/7/value").json()
        assert one["customer_id"] == "7"
        batch = client.post(
            "/v1/customers/values", json={"ids": ["9", "x", "7"], "fields": ["total_value"]}
        ).json()
        assert batch["columns"]["customer_id"] == ["9", "7"]
        assert batch["columns"]["total_value"][1] == one["total_value"]
        assert client.delete("/v1/customers/7").status_code == 204
        assert client.get("/v1/customers/7/value").status_code == 404
