"""Every route's answers, against the types that describe them and the table they come from."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path
from urllib.parse import quote

import httpx
import polars as pl
import pytest

from api import responses
from api.app import create_app
from api.retirement import Retirement
from experiments.bundle.reading import load_bundle
from tests.running import running
from tests.sample_bundle import sample_customers, sample_tables, write_sample

PAGES = [
    ("/v1/customers/7/value", responses.CustomerScore),
    ("/v1/customers?limit=3&sort=-total_value", responses.CustomerPage),
    ("/v1/customers/1/purchases", responses.Purchases),
    ("/v1/customers/1/touchpoints", responses.Touchpoints),
    ("/v1/customers/2/touchpoints", responses.Touchpoints),
    ("/v1/customers/count?filter=ge(frequency,1)", responses.CustomerCount),
    ("/v1/customers/grid?x=recency&y=first_purchase", responses.CustomerGrid),
    ("/v1/segments", responses.Segments),
    ("/v1/attribution?outcome=spend&method=linear", responses.ROWS["credits"]),
    ("/v1/effects", responses.ROWS["effects"]),
    ("/v1/care/kpis?channel=chat", responses.ROWS["care"]),
    ("/v1/roi", responses.ROWS["roi"]),
    ("/v1/model", responses.ModelCard),
    ("/health/live", responses.Health),
    ("/health/ready", responses.Health),
]


@pytest.mark.parametrize(("path", "kind"), PAGES, ids=[path for path, _ in PAGES])
def test_an_answer_has_the_form_that_its_documentation_promises(
    service: httpx.Client, path: str, kind: type[responses._Answer]
) -> None:
    answer = service.get(path)
    assert answer.status_code == 200
    kind.model_validate_json(answer.content)
    assert answer.headers["x-model-version"] == "sample"
    assert answer.headers["x-request-id"]


def test_one_score_is_the_customers_row(service: httpx.Client) -> None:
    row = sample_customers().filter(pl.col("customer_id") == 7).to_dicts()[0]
    answer = service.get("/v1/customers/7/value").json()
    expected = {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in row.items()}
    assert {name: answer[name] for name in row} == {**expected, "customer_id": "7"}
    assert answer["as_of"] == "2025-12-31"
    assert (answer["currency"], answer["time_unit"], answer["interval_level"]) == ("GBP", "week", 0.9)


@pytest.mark.parametrize(
    "customer_id", ["07", "+7", " 7", "7.0", "٧", "1_0", "99999", "9" * 40, "-1", "x", "7\u0000"]
)
def test_an_integer_id_matches_its_canonical_decimal_alone(service: httpx.Client, customer_id: str) -> None:
    answer = service.get(f"/v1/customers/{quote(customer_id)}/value")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:tributary:problems#unknown-customer"


def test_a_batch_keeps_the_order_and_names_unknown_positions(service: httpx.Client) -> None:
    ids = ["23", "no", "7", "7", "0"]
    answer = service.post("/v1/customers/values", json={"ids": ids}).json()
    responses.Batch.model_validate(answer)
    assert answer["unknown"] == [1, 4]
    assert answer["columns"]["customer_id"] == ["23", "7", "7"]
    ones = [service.get(f"/v1/customers/{i}/value").json() for i in ("23", "7", "7")]
    for name, values in answer["columns"].items():
        assert values == [one[name] for one in ones], name


def test_a_batch_answers_the_fields_asked_for_alone(service: httpx.Client) -> None:
    answer = service.post(
        "/v1/customers/values", json={"ids": ["1"], "fields": ["decile", "customer_id", "decile"]}
    )
    assert list(answer.json()["columns"]) == ["customer_id", "decile"]


def test_arrow_and_json_say_the_same(service: httpx.Client) -> None:
    body = {"ids": [str(i) for i in range(60)]}
    columns = service.post("/v1/customers/values", json=body).json()["columns"]
    arrow = service.post(
        "/v1/customers/values", json=body, headers={"accept": "application/vnd.apache.arrow.stream"}
    )
    frame = pl.read_ipc_stream(io.BytesIO(arrow.content))
    assert arrow.headers["x-unknown-count"] == "10"
    for name, dtype in frame.schema.items():
        plain = frame[name].cast(pl.String).to_list() if dtype == pl.Date else frame[name].to_list()
        assert plain == columns[name], name


def test_pages_of_a_listing_cover_every_customer_once_in_order(service: httpx.Client) -> None:
    seen: list[dict[str, float]] = []
    cursor = None
    while True:
        query = {"limit": 7, "sort": "-customer_lifetime_value", "min_frequency": 1} | (
            {"cursor": cursor} if cursor else {}
        )
        page = service.get("/v1/customers", params=query).json()
        seen += page["customers"]
        cursor = page["next"]
        if cursor is None:
            break
    expected = (
        sample_customers().filter(pl.col("frequency") >= 1).sort("customer_lifetime_value", descending=True)
    )
    assert [int(row["customer_id"]) for row in seen] == expected["customer_id"].to_list()


def test_links_lead_from_page_to_page(service: httpx.Client) -> None:
    for path, name in (
        ("/v1/customers?limit=7&filter=ge(frequency,1)&sort=-T", "customers"),
        ("/v1/customers/1/touchpoints?limit=1", "touchpoints"),
    ):
        walked, address = [], path
        while True:
            answer = service.get(address)
            walked += answer.json()[name]
            if "next" not in answer.links:
                break
            address = answer.links["next"]["url"]
        assert (
            walked
            == service.get(path.replace("limit=7", "limit=99").replace("limit=1", "limit=99")).json()[name]
        )


def test_customers_without_a_value_come_last_in_either_direction(tmp_path: Path) -> None:
    from api.cursors import Listing, page_of
    from api.store import Store
    from tests.sample_bundle import write_sample

    frame = sample_customers(9).with_columns(
        total_value=pl.when(pl.col("customer_id") <= 3).then(None).otherwise(pl.col("total_value"))
    )
    store = Store(load_bundle(write_sample(tmp_path / "b", tables={"customers": frame})))
    for descending in (False, True):
        rows, following = page_of(store, Listing(sort="total_value", descending=descending), start=0, limit=9)
        assert following is None
        assert sorted(store.customer_id(row) for row in rows[-3:]) == ["1", "2", "3"]


def test_a_cursor_of_another_question_is_refused(service: httpx.Client) -> None:
    cursor = service.get("/v1/customers?limit=2").json()["next"]
    answer = service.get("/v1/customers", params={"limit": 2, "cursor": cursor, "sort": "-total_value"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:tributary:problems#stale-cursor")
    assert service.get("/v1/customers?cursor=nonsense").status_code == 422
    assert service.get(f"/v1/customers?cursor={'a' * 30}").status_code == 409


def test_touchpoints_come_in_order_and_by_page(service: httpx.Client) -> None:
    whole = service.get("/v1/customers/1/touchpoints").json()
    assert [row["channel"] for row in whole["touchpoints"]] == ["newsletter", "forum", "chat"]
    first = service.get("/v1/customers/1/touchpoints?limit=2").json()
    rest = service.get(f"/v1/customers/1/touchpoints?limit=2&after={first['next']}").json()
    assert first["touchpoints"] + rest["touchpoints"] == whole["touchpoints"]
    assert rest["next"] is None


def test_filters_narrow_the_small_tables(service: httpx.Client) -> None:
    rows = service.get("/v1/attribution?outcome=spend&method=incremental").json()["rows"]
    assert [row["channel"] for row in rows] == ["chat", "(baseline)", "(total)"]
    assert service.get("/v1/attribution?outcome=retention").json()["rows"] == []


def test_the_head_gives_no_interval_level_where_rows_have_their_own(service: httpx.Client) -> None:
    credit = service.get("/v1/attribution").json()
    assert credit["interval_level"] is None
    assert service.get("/v1/effects").json()["interval_level"] == 0.95
    assert service.get("/v1/customers").json()["interval_level"] == 0.9


def test_credit_of_one_segment_is_asked_for_by_its_name(tmp_path: Path) -> None:
    tables = sample_tables()
    chat = tables["credits"].filter((pl.col("channel") == "chat") & (pl.col("method") == "incremental"))
    north = chat.with_columns(segment=pl.lit("region: north"), low=pl.lit(1.0), high=pl.lit(2.0))
    tables["credits"] = pl.concat([tables["credits"], north])
    with running(bundle=write_sample(tmp_path / "segments", tables=tables)) as client:
        rows = client.get("/v1/attribution", params={"segment": "region: north"}).json()["rows"]
    found = [(row["channel"], row["segment"], row["low"], row["high"]) for row in rows]
    assert found == [("chat", "region: north", 1.0, 2.0)]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "text/html; charset=utf-8"),
        ("application/json", "application/json"),
        ("text/html;q=0.2, application/json", "application/json"),
    ],
)
def test_the_report_comes_in_the_form_that_is_accepted(
    service: httpx.Client, accept: str, media_type: str
) -> None:
    answer = service.get("/v1/reports/latest", headers={"accept": accept})
    assert answer.headers["content-type"] == media_type
    assert answer.headers["vary"] == "accept"


def test_a_report_that_was_not_made_or_is_not_accepted_is_refused(service: httpx.Client) -> None:
    assert service.get("/v1/reports/latest", headers={"accept": "application/pdf"}).status_code == 404
    assert service.get("/v1/reports/latest", headers={"accept": "image/png"}).status_code == 406


def test_an_unchanged_answer_costs_no_body(service: httpx.Client) -> None:
    first = service.get("/v1/customers/7/value")
    again = service.get(
        "/v1/customers/7/value", headers={"if-none-match": f'"other", {first.headers["etag"]}'}
    )
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert (
        service.get("/v1/customers/777/value", headers={"if-none-match": first.headers["etag"]}).status_code
        == 404
    )


def test_staffing_answers_the_textbook_case(service: httpx.Client) -> None:
    plan = service.post("/v1/staffing", json={"contacts": 100}).json()
    responses.Staffing.model_validate(plan)
    assert (plan["agents"], plan["scheduled"]) == (14, 20)


def test_a_run_without_a_purchase_model_predicts_nothing(service: httpx.Client) -> None:
    answer = service.post("/v1/values/predict", json={"frequency": [1], "recency": [1], "T": [2]})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:tributary:problems#no-purchase-model")


def test_the_documentation_needs_no_network_and_names_every_route(service: httpx.Client) -> None:
    page = service.get("/docs").text
    assert "//" not in page.replace("http://127.0.0.1:8000/", "").replace("<!doctype", "")
    paths = service.get("/openapi.json").json()["paths"]
    assert all(path in page for path in paths)
    assert 'id="unknown-customer"' in page


def test_metrics_tell_latency_version_and_age(service: httpx.Client) -> None:
    service.get("/v1/customers/7/value")
    text = service.get("/metrics").text
    assert 'route="/v1/customers/{customer_id}/value",status="200"' in text
    assert 'tributary_store_info{model_version="sample"} 1.0' in text
    assert "tributary_scores_as_of_timestamp_seconds 1.7671" in text


@pytest.mark.parametrize("customer_id", ["7", "777", "a/b", "07"])
def test_the_short_way_answers_what_the_route_answers(sample: Path, customer_id: str) -> None:
    usual = create_app(None, load_bundle(sample))
    usual.user_middleware = [layer for layer in usual.user_middleware if layer.cls.__name__ != "FastPath"]
    volatile = ("date", "x-request-id")
    with running(bundle=sample) as short, running(app=usual) as long:
        for headers in ({}, {"if-none-match": short.get("/v1/customers/7/value").headers["etag"]}):
            path = f"/v1/customers/{quote(customer_id, safe='')}/value"
            named = {**headers, "x-request-id": "same"}
            ours, theirs = short.get(path, headers=named), long.get(path, headers=named)
            assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)
            assert {k: v for k, v in ours.headers.items() if k not in volatile} == {
                k: v for k, v in theirs.headers.items() if k not in volatile
            }


def test_the_description_is_one_that_generators_like(service: httpx.Client) -> None:
    schema = service.get("/openapi.json").json()
    operations = [op for methods in schema["paths"].values() for op in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert "get_value" in names
    assert all(name.isidentifier() for name in names)
    told = {tag["name"] for tag in schema["tags"]}
    for operation in operations:
        assert set(operation["tags"]) <= told
        for response in operation["responses"].values():
            assert "X-Request-Id" in response["headers"]
            problem = response.get("content", {}).get("application/problem+json")
            if problem is not None:
                assert problem["schema"] == {"$ref": "#/components/schemas/ProblemDocument"}
                for name, example in problem["examples"].items():
                    assert responses.ProblemDocument(**example["value"]).type.endswith(f"#{name}")
    answers = [response for operation in operations for response in operation["responses"].values()]
    used = {header["$ref"].rpartition("/")[2] for answer in answers for header in answer["headers"].values()}
    assert used == set(schema["components"]["headers"])


def test_an_address_that_will_end_says_so_in_every_answer_and_in_the_description(sample: Path) -> None:
    address = ("GET", "/v1/customers/{customer_id}/value")
    retiring = {
        address: Retirement(since=dt.date(2027, 1, 1), ends=dt.date(2028, 1, 1), successor="/v2/customers")
    }
    with running(app=create_app(None, load_bundle(sample), retiring=retiring)) as client:
        for customer_id, status in (("7", 200), ("nobody", 404)):
            answer = client.get(f"/v1/customers/{customer_id}/value")
            assert answer.status_code == status
            assert answer.headers["deprecation"] == "@1798761600"
            assert answer.headers["sunset"] == "Sat, 01 Jan 2028 00:00:00 GMT"
            assert answer.headers["link"] == '</v2/customers>; rel="successor-version"'
        assert "sunset" not in client.get("/v1/customers").headers
        paths = client.get("/openapi.json").json()["paths"]
        assert paths[address[1]]["get"]["deprecated"]
        assert "Sunset" in paths[address[1]]["get"]["responses"]["404"]["headers"]
        assert not any(op.get("deprecated") for op in paths["/v1/customers"].values())


def test_an_address_cannot_end_before_clients_had_a_year() -> None:
    with pytest.raises(ValueError, match="less than a year"):
        Retirement(since=dt.date(2027, 1, 1), ends=dt.date(2027, 12, 31), successor="/v2/customers")


def test_every_answer_in_json_has_an_example_that_its_schema_allows(service: httpx.Client) -> None:
    schema = service.get("/openapi.json").json()
    parts = schema["components"]["schemas"]
    checked = 0
    for methods in schema["paths"].values():
        for operation in methods.values():
            answer = operation["responses"].get("200", {}).get("content", {}).get("application/json")
            if answer is None:
                continue
            example = answer["example"]
            kind = getattr(responses, answer["schema"].get("$ref", "").rpartition("/")[2], None)
            if kind is not None:
                kind.model_validate(example)
                checked += 1
    assert checked > 15
    assert parts["CustomerScore"]["properties"]["decile"]["examples"] == [3]
    score = schema["paths"]["/v1/customers/{customer_id}/value"]["get"]["responses"]["200"]
    assert score["content"]["application/json"]["example"]["customer_lifetime_value"] == 76.3


def test_a_tag_changes_with_who_is_hidden(tmp_path: Path) -> None:
    from experiments.tombstones import add_tombstone

    with running(bundle=write_sample(tmp_path / "b", n=20)) as client:
        before = client.get("/v1/customers/count")
        add_tombstone(tmp_path, 7)
        after = client.get("/v1/customers/count", headers={"if-none-match": before.headers["etag"]})
        assert (after.status_code, after.json()["customers"]) == (200, 19)
