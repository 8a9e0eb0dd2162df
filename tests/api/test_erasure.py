"""Erasure through the service: at once, for good, and with a trail that names nobody."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import polars as pl
import pytest

from api.settings import Settings
from experiments.bundle.reading import load_bundle
from experiments.bundle.tables import TABLES
from experiments.bundle.writing import write_bundle
from experiments.champion import promote_bundle
from experiments.report import report_context
from experiments.tombstones import add_tombstone
from reports.build import render_report
from tests.running import eventually, running
from tests.sample_bundle import sample_customers, write_anew, write_sample


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
    bundle = load_bundle(write_anew(tmp_path / "v1"))
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


def rows_of(name: str, rows: list[dict[str, object]]) -> pl.DataFrame:
    """Rows of a table of a bundle, absent columns null."""
    return pl.DataFrame(rows, schema=dict(TABLES[name].schema))


def test_a_report_that_quotes_an_erased_customer_is_hidden_and_drawn_again(tmp_path: Path) -> None:
    words = {7: "the parcel came late and nobody told me", 8: "where is the parcel that was promised"}
    topic = {"topic": "delivery", "needs_reply": True, "answered": False, "status": "open"}
    customers = sample_customers()["customer_id"].to_list()
    tables = {
        "cases": rows_of("cases", [{"case_id": f"c{i}", "customer_id": i, **topic} for i in customers]),
        "quotes": rows_of(
            "quotes",
            [
                {"customer_id": i, "topic": "delivery", "month": "2025-11", "text": t}
                for i, t in words.items()
            ],
        ),
    }
    plain = load_bundle(write_sample(tmp_path / "plain" / "v1", tables=tables))
    files = render_report(report_context(plain))
    assert set(files) >= {"report.html", "report.json"}
    runs = tmp_path / "runs"
    write_bundle(
        runs / "v1",
        tables={name: plain.table(name) for name in plain.manifest["tables"]},
        manifest={"run_id": "v1", "as_of": "2025-12-31", "currency": "GBP", "time_unit": "week"},
        model=plain.model,
        files=files,
    )
    promote_bundle(runs, runs / "v1", "test")
    with running(Settings(runs=runs, watch_seconds=0.05, access_log=False)) as client:
        before = client.get("/v1/reports/latest", headers={"accept": "text/html"})
        assert all(text in before.text for text in words.values())
        assert client.delete("/v1/customers/7").status_code == 204
        meanwhile = client.get("/v1/reports/latest", headers={"accept": "text/html"})
        assert words[7] not in meanwhile.text

        def drawn_again() -> bool:
            answer = client.get("/v1/reports/latest", headers={"accept": "text/html"})
            return answer.status_code == 200 and words[8] in answer.text and words[7] not in answer.text

        assert eventually(drawn_again, seconds=60)
        told = client.get("/v1/reports/latest", headers={"accept": "application/json"}).text
        assert words[8] in told
        assert words[7] not in told
    assert set(files) <= {file.name for file in (runs / "v1").iterdir()}
    for file in runs.rglob("*"):
        assert not file.is_file() or words[7].encode() not in file.read_bytes(), file


def test_a_run_over_old_input_leaves_no_report_that_quotes_an_erased_customer(tmp_path: Path) -> None:
    quote = {"customer_id": 7, "topic": "delivery", "month": "2025-11", "text": "the parcel came late"}
    add_tombstone(tmp_path, "7")
    path = write_sample(tmp_path / "v1", tables={"quotes": rows_of("quotes", [quote])})
    assert load_bundle(path).file("report.html") is None
    assert load_bundle(path).table("quotes").is_empty()
