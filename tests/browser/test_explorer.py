"""The explorer in a browser: choices in the address, keys in memory, every state, the keyboard."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from api.keys import create_key
from api.settings import Settings
from tests.running import running

from .conftest import COLOURS, base, faults_of, said, serious, until, wide, write_company

VIEWS = ("credit", "customers", "customers/1", "evidence", "service", "compare", "report")


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_fits_every_screen_and_axe_finds_nothing_serious(
    look: Any, explorer: httpx.Client, view: str
) -> None:
    page = look(f"{base(explorer)}/explore/{view}", width=320)
    assert wide(page) == 0
    for width in (390, 768, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert wide(page) == 0, width
    assert serious(page) == []
    page.emulate_media(color_scheme="dark")
    assert serious(page, rules=COLOURS) == []
    assert faults_of(page) == []


def test_another_run_is_chosen_from_those_beside_the_one_served(look: Any, tmp_path: Path) -> None:
    served = write_company(tmp_path / "now")
    for number in (1, 2):
        write_company(tmp_path / f"before{number}", run_id=f"run{number}", scale=1000.0 - 300 * number)
    with running(bundle=served) as client:
        page = look(f"{base(client)}/explore/credit")
        page.keyboard.press("5")
        page.wait_for_url("**/explore/compare")
        page.wait_for_selector("select[name=with]")
        page.select_option("select[name=with]", "run1")
        page.wait_for_url("**with=run1**")
        until(page, "document.querySelector('.question').textContent.includes('run1')")
        for width in (320, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            assert wide(page) == 0, width
            assert serious(page) == []
        assert faults_of(page) == []


def test_the_curve_of_a_channel_is_drawn_where_the_run_has_one(look: Any, explorer: httpx.Client) -> None:
    page = look(f"{base(explorer)}/explore/credit?outcome=spend&row=social_one")
    assert page.locator("#curve-social_one[aria-current]").count() == 1
    assert page.locator(".later svg.lines.narrow .band").count() == 1


def test_a_choice_changes_the_address_and_the_figures_and_back_undoes_it(
    look: Any, explorer: httpx.Client
) -> None:
    page = look(f"{base(explorer)}/explore/credit")
    page.locator("#row-phone").click()
    page.wait_for_url("**row=phone**")
    until(page, "document.querySelector('.facts') && document.querySelector('#row-phone[aria-current]')")
    assert page.locator("section.pane h2", has_text="Phone").count() == 1
    page.go_back()
    until(page, "document.querySelector('#row-social[aria-current]')")
    assert "row=phone" not in page.url
    assert faults_of(page) == []


def test_typed_edges_select_customers(look: Any, explorer: httpx.Client) -> None:
    page = look(f"{base(explorer)}/explore/customers")
    page.fill("#gone_from", "20")
    page.fill("#gone_to", "70")
    page.fill("#worth", "50")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('h1').textContent.includes('may be about to leave')")
    assert "gone_from=20" in page.url
    number = int(page.locator("h1").inner_text().split()[0])
    link = page.locator("a.primary[data-download]").get_attribute("href")
    listing = explorer.get(link, headers={"accept": "text/csv"}).text
    assert number == listing.count("\n") - 1 > 0


def test_a_dragged_rectangle_and_its_corners_select_customers(look: Any, explorer: httpx.Client) -> None:
    page = look(f"{base(explorer)}/explore/customers")
    page.evaluate("document.querySelector('[data-scatter]').id = 'before'")
    box = page.locator("svg.scatter").bounding_box()
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 300, steps=4)
    page.mouse.up()
    until(page, "location.search.includes('gone_from=10')")
    until(page, "!document.querySelector('#before, .htmx-settling')")  # keys count once the view is there
    corner = page.locator("[data-edge=high]")
    corner.focus()
    page.keyboard.press("ArrowLeft")
    until(page, "location.search.includes('gone_to=85')")  # the driver may miss an address without a load


def test_arrows_move_and_keys_change_the_view_but_not_while_typing(look: Any, explorer: httpx.Client) -> None:
    page = look(f"{base(explorer)}/explore/credit")
    page.locator("#row-social").focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.id") != "row-social"
    page.keyboard.press("2")
    page.wait_for_url("**/explore/customers")
    page.wait_for_selector("#find")
    page.keyboard.press("/")
    page.keyboard.type("3")
    assert page.locator("#find").input_value() == "3"
    assert page.url.endswith("/customers")
    page.keyboard.press("Enter")
    page.wait_for_url("**/explore/customers/3")
    until(page, "document.querySelector('h1').textContent.startsWith('Customer 3 ')")
    page.locator("h1").click()
    page.keyboard.press("Escape")
    page.wait_for_url("**/explore/customers")


def test_keys_can_be_switched_off(look: Any, explorer: httpx.Client) -> None:
    page = look(f"{base(explorer)}/explore/credit")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.uncheck("#shortcuts")
    page.locator("#help .button").click()
    page.keyboard.press("2")
    page.wait_for_timeout(200)
    assert page.url.endswith("/credit")


def test_a_key_is_asked_for_and_stays_in_memory(
    look: Any, keyed: httpx.Client, read_key: tuple[Path, str]
) -> None:
    _, key = read_key
    page = look(f"{base(keyed)}/explore/credit")
    assert page.locator("#key").is_visible()
    assert serious(page) == []
    page.fill("#key", "wrong")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('.wrong') && document.querySelector('.wrong').textContent")
    page.fill("#key", key)
    page.keyboard.press("Enter")
    page.wait_for_selector("#ledger")
    page.wait_for_selector(".keyed")
    kept = page.evaluate(
        "JSON.stringify([location.href, document.cookie, Object.entries(localStorage), "
        "Object.entries(sessionStorage), document.documentElement.outerHTML])"
    )
    assert key not in kept
    page.reload()
    assert page.locator("#key").is_visible()


def test_a_key_without_the_scope_is_told_and_reading_goes_on(
    look: Any, keyed: httpx.Client, read_key: tuple[Path, str]
) -> None:
    page = look(f"{base(keyed)}/explore/customers")
    page.fill("#key", read_key[1])
    page.keyboard.press("Enter")
    page.wait_for_selector("svg.scatter")
    page.locator("a.primary[data-download]").click()
    said(page, "batch")
    assert page.locator("svg.scatter").is_visible()


def test_an_unknown_customer_is_told_without_losing_the_page(look: Any, explorer: httpx.Client) -> None:
    page = look(f"{base(explorer)}/explore/customers")
    page.fill("#find", "999999")
    page.keyboard.press("Enter")
    said(page, "nothing here")
    assert page.locator("svg.scatter").is_visible()


def test_too_many_asks_wait_and_ask_again(look: Any, bundle: Path) -> None:
    with running(Settings(rate_limit=1, access_log=False), bundle=bundle) as client:
        page = look(f"{base(client)}/explore/credit")
        while client.get("/v1/model").status_code != 429:  # one a minute: nothing is left then
            pass
        page.keyboard.press("2")
        said(page, "Wait")
        assert page.locator("main").is_visible()


def test_a_service_that_is_gone_leaves_the_figures_with_their_time(look: Any, bundle: Path) -> None:
    with running(bundle=bundle) as client:
        page = look(f"{base(client)}/explore/credit")
    page.keyboard.press("2")
    said(page, "does not answer")
    assert page.locator("#ledger").is_visible()
    assert page.locator("#notice .button").inner_text() == "Try again"


def test_a_new_model_changes_nothing_under_the_readers_hands(look: Any, tmp_path: Path) -> None:
    first = write_company(tmp_path / "first")
    second = write_company(tmp_path / "second", run_id="fff999")
    link = tmp_path / "served"
    link.symlink_to(first)
    path = tmp_path / "keys.json"
    admin = create_key(path, scopes=["admin", "read"], name="admin")[0]
    with running(Settings(bundle=link, keys=path, access_log=False)) as client:
        page = look(f"{base(client)}/explore/credit")
        page.fill("#key", admin)
        page.keyboard.press("Enter")
        page.wait_for_selector("#ledger")
        link.unlink()
        link.symlink_to(second)
        client.post("/v1/admin/reload", headers={"authorization": f"Bearer {admin}"}).raise_for_status()
        page.locator("#row-phone").click()
        said(page, "new model")
        assert page.locator(".about").inner_text().count("abc123def456") == 1
        page.locator("#notice .button").click()
        until(page, "document.querySelector('.about').textContent.includes('fff999')")
