"""Exports: every customer once, in every format, from one bundle, taken up again where they broke off."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from api.settings import Settings
from experiments.bundle.reading import load_bundle
from experiments.champion import promote_bundle
from experiments.filters import FilterError
from experiments.tombstones import add_tombstone
from histories.errors import ConfigError
from tests.running import eventually, running
from tests.sample_bundle import sample_customers, write_sample

N = 300
TYPES = {
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
}


@pytest.fixture(scope="module", params=[False, True], ids=["integer ids", "text ids"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    customers = sample_customers(N, text=request.param)
    regions = pl.Series("region", (["north", "south", None] * N)[:N])
    profiles = customers.select("customer_id").sort("customer_id").with_columns(regions)
    folder = tmp_path_factory.mktemp("export")
    return write_sample(folder / "b", tables={"customers": customers, "profiles": profiles})


@pytest.fixture(scope="module")
def frame(bundle: Path) -> pl.DataFrame:
    found = load_bundle(bundle)
    customers = found.table("customers").sort("customer_id")
    return customers.join(found.table("profiles"), on="customer_id", how="left", maintain_order="left")


@pytest.fixture(scope="module")
def client(bundle: Path) -> Iterator[httpx.Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("api.export.CHUNK", 64)  # so that an export has many
        with running(bundle=bundle) as found:
            yield found


def _read(form: str, content: bytes, like: pl.DataFrame) -> pl.DataFrame:
    if form == "parquet":
        return pl.read_parquet(content)
    if form == "arrow":
        return pl.read_ipc_stream(io.BytesIO(content))
    if form == "csv":
        return pl.read_csv(content, schema=like.schema)
    return pl.read_ndjson(content, schema=like.schema)


@pytest.mark.parametrize("form", TYPES)
@pytest.mark.parametrize("question", ["all", "some"])
def test_an_export_is_the_customers_table(
    client: httpx.Client, frame: pl.DataFrame, form: str, question: str
) -> None:
    params = {}
    if question == "some":
        params = {"filter": 'eq(region,"north")', "fields": "region,customer_lifetime_value"}
        frame = frame.filter(region="north").select("customer_id", "region", "customer_lifetime_value")
    answer = client.get("/v1/customers/export", params=params, headers={"accept": TYPES[form]})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(TYPES[form])
    assert f"customers.{form}" in answer.headers["content-disposition"]
    assert_frame_equal(_read(form, answer.content, frame), frame)


def test_a_broken_download_is_taken_up_and_a_good_copy_is_not_sent_again(client: httpx.Client) -> None:
    accept = {"accept": TYPES["csv"], "accept-encoding": "identity"}
    whole = client.get("/v1/customers/export", headers=accept)
    tag = whole.headers["etag"]
    assert whole.headers["accept-ranges"] == "bytes"
    rest = client.get("/v1/customers/export", headers={**accept, "range": "bytes=1000-", "if-range": tag})
    assert rest.status_code == 206
    assert rest.content == whole.content[1000:]
    assert rest.headers["content-range"] == f"bytes 1000-{len(whole.content) - 1}/{len(whole.content)}"
    again = client.get("/v1/customers/export", headers={**accept, "if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    head = client.head("/v1/customers/export", headers=accept)
    assert (head.headers["content-length"], head.content) == (str(len(whole.content)), b"")
    beyond = client.get("/v1/customers/export", headers={**accept, "range": "bytes=99999999-"})
    assert (beyond.status_code, beyond.json()["type"]) == (416, "urn:tributary:problems#no-such-range")
    end = client.get("/v1/customers/export", headers={**accept, "range": "bytes=-5"})
    assert (end.status_code, end.content) == (206, whole.content[-5:])
    for odd in ("bytes=5-2", "bytes=a-b", "bytes=", "lines=1-2", "bytes=0-0,2-2", "bytes=-"):
        ignored = client.get("/v1/customers/export", headers={**accept, "range": odd})
        assert (ignored.status_code, ignored.content == whole.content) == (200, True)
    assert client.get("/v1/customers/export", headers={"accept": "text/html"}).status_code == 406
    assert client.get("/v1/customers/export?fields=regoin", headers=accept).status_code == 422


def test_an_export_during_promotions_comes_from_one_bundle(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_sample(tmp_path / f"v{seed}", n=50, seed=seed, version=f"v{seed}")
    promote_bundle(tmp_path, tmp_path / "v1", "test")
    expected = {
        f"v{seed}": sample_customers(50, seed=seed).sort("customer_id")["total_value"].to_list()
        for seed in (1, 2)
    }
    seen = set()
    with running(Settings(runs=tmp_path, watch_seconds=0.01, access_log=False)) as client:
        stop = threading.Event()

        def swap() -> None:
            number = 0
            while not stop.is_set():
                promote_bundle(tmp_path, tmp_path / f"v{2 - number % 2}", "test")
                number += 1

        swapping = threading.Thread(target=swap)
        swapping.start()
        try:
            for _ in range(40):
                answer = client.get("/v1/customers/export", headers={"accept": TYPES["parquet"]})
                assert answer.status_code == 200
                version = answer.headers["x-model-version"]
                assert pl.read_parquet(answer.content)["total_value"].to_list() == expected[version]
                seen.add(version)
        finally:
            stop.set()
            swapping.join()
    assert seen == {"v1", "v2"}


def test_an_erasure_reaches_exports_that_were_made(tmp_path: Path) -> None:
    write_sample(tmp_path / "b", n=20)
    promote_bundle(tmp_path, tmp_path / "b", "test")
    accept = {"accept": TYPES["ndjson"]}
    with running(Settings(runs=tmp_path, watch_seconds=60, access_log=False)) as client:
        before = client.get("/v1/customers/export", headers=accept)
        assert len(before.text.splitlines()) == 20
        (made,) = (tmp_path / ".exports").rglob("*.ndjson")
        assert made.stat().st_mode & 0o077 == 0 or made.parent.stat().st_mode & 0o077 == 0
        assert client.delete("/v1/customers/7").status_code == 204
        assert not made.exists()
        after = client.get(
            "/v1/customers/export", headers={**accept, "if-none-match": before.headers["etag"]}
        )
        assert after.status_code == 200
        rows = [json.loads(line) for line in after.text.splitlines()]
        assert 7 not in [row["customer_id"] for row in rows]
        assert len(rows) == 19
    assert list((tmp_path / ".exports").rglob("*.*")) == []


def test_an_erasure_by_another_process_reaches_exports_and_a_start_those_of_the_killed(
    tmp_path: Path,
) -> None:
    write_sample(tmp_path / "b", n=20)
    promote_bundle(tmp_path, tmp_path / "b", "test")
    left = tmp_path / ".exports" / "999999999" / "x.csv"
    left.parent.mkdir(parents=True)
    left.write_text("customer_id")
    with running(Settings(runs=tmp_path, watch_seconds=0.02, access_log=False)) as client:
        assert not left.exists()
        client.get("/v1/customers/export", headers={"accept": TYPES["csv"]}).raise_for_status()
        (made,) = (tmp_path / ".exports").rglob("*.csv")
        add_tombstone(tmp_path, 7)
        assert eventually(lambda: not made.exists())


@pytest.mark.parametrize("form", TYPES)
def test_the_command_writes_what_the_service_sends(
    bundle: Path, client: httpx.Client, tmp_path: Path, form: str
) -> None:
    from tributary.commands.export import export

    out = tmp_path / f"scores.{form}"
    export.main([str(bundle), "--out", str(out), "--filter", "ge(frequency,1)"], standalone_mode=False)
    sent = client.get("/v1/customers/export?filter=ge(frequency,1)", headers={"accept": TYPES[form]})
    like = pl.read_parquet(client.get("/v1/customers/export", headers={"accept": TYPES["parquet"]}).content)
    assert_frame_equal(_read(form, out.read_bytes(), like), _read(form, sent.content, like))


def test_the_command_refuses_what_it_does_not_know_and_leaves_nothing(bundle: Path, tmp_path: Path) -> None:
    from tributary.commands.export import export

    def call(*options: str) -> None:
        export.main([str(bundle), *options], standalone_mode=False)

    with pytest.raises(ConfigError, match='"parqet" is no format; did you mean "parquet"'):
        call("--out", str(tmp_path / "x.parqet"))
    with pytest.raises(ConfigError, match='no column "regoin"; did you mean "region"'):
        call("--out", str(tmp_path / "x.csv"), "--fields", "regoin")
    with pytest.raises(FilterError, match="character 1"):
        call("--out", str(tmp_path / "x.csv"), "--filter", "x")
    assert list(tmp_path.iterdir()) == []
    add_tombstone(bundle.parent, load_bundle(bundle).table("customers")["customer_id"][0])
    call("--out", str(tmp_path / "x.csv"), "--fields", "customer_id")
    assert pl.read_csv(tmp_path / "x.csv").shape == (N - 1, 1)
