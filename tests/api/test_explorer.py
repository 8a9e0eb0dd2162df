"""The explorer without a browser: figures that equal the service's, data only behind a key, small pages."""

import html
import math
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import polars as pl
import pytest

from api.explore.downloads import table_bytes
from api.keys import create_key
from api.settings import Settings
from experiments.tombstones import add_tombstone
from reports.numbers import decimal, money, signed
from tests.browser.conftest import write_company
from tests.running import running

VIEWS = ("credit", "customers", "customers/1", "evidence", "service", "compare", "report")
FRAGMENT = {"hx-request": "true"}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_company(tmp_path_factory.mktemp("explored") / "company")


@pytest.fixture(scope="module")
def explorer(company: Path) -> Iterator[httpx.Client]:
    with running(bundle=company) as client:
        yield client


@pytest.mark.parametrize("view", VIEWS)
def test_a_page_holds_its_fragment_and_asks_nothing_of_others(explorer: httpx.Client, view: str) -> None:
    page = explorer.get(f"/explore/{view}")
    fragment = explorer.get(f"/explore/{view}", headers=FRAGMENT)
    assert page.status_code == fragment.status_code == 200
    assert fragment.text in page.text
    assert not re.search(r"<(script|style)[^>]*>[^<]", page.text)
    assert " style=" not in page.text
    assert " on" not in "".join(re.findall(r"<[a-z]+( on\w+=)", page.text))
    assert "unsafe" not in page.headers["content-security-policy"]
    foreign = re.findall(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[\w.]+", page.text)
    assert foreign == []


def test_figures_equal_those_of_the_service(explorer: httpx.Client) -> None:
    rows = explorer.get("/v1/attribution", params={"outcome": "spend", "level": "group"}).json()["rows"]
    groups = [row for row in rows if row["kind"] == "incremental"]
    assert len(groups) == 5
    for row in groups:
        page = explorer.get("/explore/credit", params={"outcome": "spend", "row": row["channel"]}).text
        shown = signed(decimal(row["credit"] / 1000, 1))
        cells = re.search(rf'data-key="{row["channel"]}".*?</tr>', page, re.S)
        assert cells is not None
        assert f">{shown}</td>" in cells[0]
        facts = re.search(r'<table class="facts">.*?</table>', page, re.S)
        assert facts is not None
        assert f"<td>{shown} thousand</td>" in facts[0]


def test_a_customers_value_equals_that_of_the_service(explorer: httpx.Client) -> None:
    score = explorer.get("/v1/customers/7/value").json()
    page = explorer.get("/explore/customers/7").text
    assert money(score["customer_lifetime_value"], "GBP") in page
    assert 'class="band"' in page
    assert f"{score['probability_alive'] * 100:.0f}% likely to be still a customer" in page


def test_a_named_segment_and_a_rectangle_select_whom_the_export_gives(explorer: httpx.Client) -> None:
    for query in ("segment=dear", "segment=dear&gone_from=20&gone_to=80&worth=120", "gone_from=0&worth=50"):
        page = explorer.get(f"/explore/customers?{query}").text
        number = re.search(r"<h1>([\d,]+) customers", page)
        link = re.search(r'primary" data-download href="([^"]+)"', page)
        assert number is not None
        assert link is not None
        rows = explorer.get(html.unescape(link[1]), headers={"accept": "text/csv"}).text.splitlines()
        assert len(rows) - 1 == int(number[1]) > 0


def test_a_choice_that_the_run_lacks_is_struck_out_with_its_reason(explorer: httpx.Client) -> None:
    page = explorer.get("/explore/credit").text
    assert re.search(r'class="struck" title="this run has no credit of it">.*?Customers kept', page, re.S)


def test_evidence_and_service_are_filtered_by_their_choice(explorer: httpx.Client) -> None:
    all_of_it = explorer.get("/explore/evidence").text
    spend = explorer.get("/explore/evidence?outcome=spend").text
    assert "Effect on customers kept" in all_of_it
    assert "Effect on customers kept" not in spend
    assert "Effect on spend" in spend
    assert "Twitter" in explorer.get("/explore/service?channel=twitter").text


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """One run served, one beside it with half of its credits and fewer customers."""
    home = tmp_path_factory.mktemp("runs")
    served = write_company(home / "now")
    write_company(home / "before", customers=40, run_id="before", scale=500.0)
    (home / "damaged").mkdir()
    (home / "damaged" / "manifest.json").write_text('{"run_id": 3}')
    with running(bundle=served) as client:
        yield client


def test_what_moved_against_another_run_equals_what_compare_says(two_runs: httpx.Client) -> None:
    page = two_runs.get("/explore/compare").text
    rows = pl.read_csv(two_runs.get("/explore/download/compare").content)
    social = rows.row(
        by_predicate=pl.col("figure") == "credit.spend.incremental.channel.social_one", named=True
    )
    assert (social["before"], social["now"], social["change"]) == (75_000.0, 150_000.0, 75_000.0)
    assert social["chance"] == pytest.approx(math.hypot(0.3 * 75_000, 0.3 * 150_000))
    assert social["beyond_chance"]
    shown = re.search(r"<tr[^>]*>(?:(?!</tr>).)*Social one.*?</tr>", page, re.S)
    assert shown is not None
    assert all(text in shown[0] for text in ("£75,000", "£150,000", "+£75,000", ">rose<"))
    moved = rows["beyond_chance"].drop_nulls()
    assert f"of {len(moved)} figures moved further than chance goes" in page
    assert "Run before" in page


def test_a_run_alone_has_nothing_to_be_compared_with(explorer: httpx.Client) -> None:
    assert "There is no other run to compare with" in explorer.get("/explore/compare").text
    assert len(explorer.get("/explore/download/compare").text.splitlines()) == 1


def test_nobody_who_was_erased_is_named_in_a_comparison(two_runs: httpx.Client, tmp_path: Path) -> None:
    told = re.findall(r'href="/explore/customers/(\w+)"', two_runs.get("/explore/compare").text)
    assert len(told) == 10
    served = write_company(tmp_path / "now")
    write_company(tmp_path / "before", customers=40, run_id="before", scale=500.0)
    add_tombstone(tmp_path, told[0])
    with running(bundle=served) as client:
        page = client.get("/explore/compare").text
    left = re.findall(r'href="/explore/customers/(\w+)"', page)
    assert left[:9] == told[1:]
    assert f">{told[0]}<" not in page


def test_a_curve_says_what_half_of_the_touches_would_take(explorer: httpx.Client) -> None:
    page = explorer.get("/explore/credit?outcome=spend").text
    assert "Spend by social one: half as many more would bring £12,000" in page
    rows = pl.read_csv(explorer.get("/explore/download/response?outcome=spend").content)
    assert rows["change"].to_list() == [-40_000.0, 0.0, 12_000.0]
    assert explorer.get("/explore/download/response?outcome=retention").text.count("\n") == 1


def test_an_unknown_and_an_erased_customer_read_the_same(explorer: httpx.Client) -> None:
    for page in (explorer.get("/explore/customers/nobody"), explorer.get("/explore/customers/999999")):
        assert page.status_code == 404
        assert page.json()["detail"] == "No customer has this id in the scores being served."


@pytest.mark.parametrize(
    "query", ["gone_from=x&worth=%C2%A350", "gone_from=-1e400", "gone_to=200", "worth=..", "row=%3Cb%3E"]
)
def test_no_question_is_too_odd_for_a_view(explorer: httpx.Client, query: str) -> None:
    for view in ("customers", "credit"):
        answer = explorer.get(f"/explore/{view}?{query}")
        assert answer.status_code == 200
        assert "<b>" not in answer.text


def test_with_keys_pages_hold_no_data_and_fragments_need_a_key(company: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    key = create_key(keys, scopes=["read"], name="reader")[0]
    with running(Settings(keys=keys, access_log=False), bundle=company) as client:
        for view in VIEWS:
            page = client.get(f"/explore/{view}")
            assert page.status_code == 200
            assert "phone" not in page.text.lower()
            assert client.get(f"/explore/{view}", headers=FRAGMENT).status_code == 401
            opened = client.get(f"/explore/{view}", headers=FRAGMENT | {"authorization": f"Bearer {key}"})
            assert opened.status_code == 200
        assert client.get("/explore/download/credit").status_code == 401


def test_files_of_the_page_are_kept_by_address(explorer: httpx.Client) -> None:
    page = explorer.get("/explore/credit").text
    files = re.findall(r'"(/explore/static/\w+/[\w.-]+)"', page)
    assert len(files) == 3
    for name in files:
        answer = explorer.get(name)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert explorer.get("/explore/static/0/explorer.js").status_code == 404


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("name", ["credit", "evidence", "service"])
def test_the_rows_behind_a_view_can_be_had(explorer: httpx.Client, name: str, form: str) -> None:
    answer = explorer.get(f"/explore/download/{name}?format={form}")
    assert answer.status_code == 200
    assert answer.content.startswith(b"PAR1" if form == "parquet" else b"")
    assert len(answer.content) > 200


def test_the_rows_behind_one_customer_are_purchases_and_conversations(explorer: httpx.Client) -> None:
    rows = pl.read_csv(explorer.get("/explore/download/customer?customer_id=1").content)
    assert rows["what"].value_counts().filter(what="purchase")["count"].to_list() == [2]
    assert rows.height == 5
    assert explorer.get("/explore/download/customer?customer_id=999999").status_code == 404


def test_a_hundred_thousand_customers_are_drawn_small(tmp_path: Path) -> None:
    bundle = write_company(tmp_path / "large", customers=100_000)
    with running(bundle=bundle) as client:
        page = client.get("/explore/customers?gone_from=20&gone_to=70&worth=50")
    assert len(page.content) < 300_000
    assert "squares" in page.text


def test_a_download_for_a_spreadsheet_holds_no_formula() -> None:
    names = ["=cmd|calc", "+447911123456", "-1", "@sum", "chat - web"]
    table = pl.DataFrame({"channel": names, "credit": [-1.5] * 5})
    rows = pl.read_csv(table_bytes(table, "csv"), schema_overrides={"channel": pl.String})
    assert rows["channel"].to_list() == ["'=cmd|calc", "+447911123456", "-1", "'@sum", "chat - web"]
    assert rows["credit"].to_list() == [-1.5] * 5
    assert pl.read_parquet(table_bytes(table, "parquet")).equals(table)
