"""One brand's part of all tables: a client sees its own cases, costs and customers, and nobody else's."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from experiments.brands import brands_of, for_brand, only_brand
from experiments.config import RunConfig, load_config
from experiments.inputs import read_inputs
from experiments.parts.histories import build_histories
from histories.errors import ConfigError
from histories.reading.inputs import Inputs

CASES = """case_id,opened_at,channel,customer_id,brand,agent,first_response_at
a1,2026-03-02T10:00:00Z,mail,1,Acme,ann,2026-03-02T10:30:00Z
a2,2026-03-03T10:00:00Z,mail,2,Acme,ann,2026-03-03T11:30:00Z
b1,2026-03-04T10:00:00Z,mail,3,Bolt,bob,2026-03-04T10:10:00Z
x1,2026-03-05T10:00:00Z,mail,4,,cat,
"""
POSTS = """post_id,platform,author,timestamp,in_reply_to,is_brand,brand,case_id,text
p1,twitter,u1,2026-03-02T09:00:00Z,,false,,,Where is it?
p2,twitter,desk,2026-03-02T09:30:00Z,p1,true,Bolt,,On its way.
p3,twitter,u2,2026-03-02T12:00:00Z,,false,Acme,,It is broken
p4,twitter,u3,2026-03-02T13:00:00Z,,false,,,Hello?
p5,mail,1,2026-03-02T10:01:00Z,,false,,a1,More of it
"""
COSTS = """channel,period_start,period_end,amount,brand
mail,2026-03-01,2026-03-31,100.01,
mail,2026-03-01,2026-03-31,7,Acme
twitter,2026-03-01,2026-03-31,30,
phone,2026-03-01,2026-03-31,50,
"""
TABLES = {
    "cases": CASES,
    "posts": POSTS,
    "costs": COSTS,
    "transactions": "customer_id,timestamp,amount\n"
    + "".join(f"{customer},2026-02-0{customer},{customer}0\n" for customer in range(1, 6)),
    "identities": "platform,handle,customer_id\ntwitter,u1,5\ntwitter,u2,2\n",
    "hours": "agent,start,end\nann,2026-03-02T09:00:00Z,2026-03-02T17:00:00Z\n"
    "bob,2026-03-02T09:00:00Z,2026-03-02T17:00:00Z\n",
    "paths": "path,conversions,null_paths\nmail > twitter,3,4\n",
}


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., tuple[RunConfig, Inputs]]:
    def _read(top: str = "", **tables: str) -> tuple[RunConfig, Inputs]:
        lines = [f"observation_end = 2026-03-31\ncurrency = 'EUR'\n{top}\n[inputs]"]
        for name, text in (TABLES | tables).items():
            (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
            lines.append(f'{name} = "{name}.csv"')
        path = tmp_path / "desk.toml"
        path.write_text("\n".join(lines), encoding="utf-8")
        config = load_config(path)
        return config, read_inputs(config)

    return _read


def test_a_brand_has_its_own_cases_threads_shifts_and_the_customers_who_wrote_to_it(read) -> None:
    _, inputs = read("brand = 'Bolt'")
    assert inputs["cases"].collect()["case_id"].to_list() == ["b1"]
    assert inputs["posts"].collect()["post_id"].to_list() == [
        "p1",
        "p2",
    ]  # asked, answered
    assert inputs["hours"].collect()["agent"].to_list() == ["bob"]
    assert inputs["transactions"].collect()["customer_id"].to_list() == [3, 5]  # of b1, and of u1
    assert inputs["identities"].collect()["handle"].to_list() == ["u1"]
    assert "paths" not in inputs
    assert any("paths cannot be told apart by brand" in note for note in inputs.notes)
    assert any("the 2 known customers who wrote to it" in note for note in inputs.notes)


def test_a_post_under_a_case_is_of_the_brand_of_the_case(read) -> None:
    _, inputs = read("brand = 'Acme'")
    assert inputs["posts"].collect()["post_id"].to_list() == ["p3", "p5"]


def test_costs_without_a_brand_are_shared_by_contacts_and_add_up(read) -> None:
    """Of four cases by mail two are Acme's and one is Bolt's; of three threads on Twitter each has one."""
    _, whole = read()
    charged = {brand: only_brand(whole, brand)["costs"].collect() for brand in ("Acme", "Bolt")}
    by_channel = {
        brand: dict(rows.group_by("channel").agg(pl.col("amount").sum()).iter_rows())
        for brand, rows in charged.items()
    }
    unit = whole["costs"].collect()["amount"][1] / 7
    assert by_channel["Acme"] == {"mail": int(100.01 * unit / 2) + 7 * unit, "twitter": 10 * unit}
    assert by_channel["Bolt"] == {"mail": int(100.01 * unit / 4), "twitter": 10 * unit}


def test_nothing_of_other_brands_is_left(read) -> None:
    wrong = CASES + "z9,never,mail,9,Secret,zed,\n"
    _, inputs = read("brand = 'Bolt'\n[limits]\nmax_rejected_share = 1", cases=wrong)
    table = inputs.tables["cases"]
    assert table.rejected.is_empty()
    assert (table.rows_read, table.rows_valid, table.set_aside_by_rule) == (1, 1, {})
    told = json.dumps([*inputs.notes, *(str(t.rejected.to_dicts()) for t in inputs.tables.values())])
    assert "Secret" not in told
    assert "Acme" not in told


def test_a_brand_that_nothing_names_is_refused_with_the_nearest(read) -> None:
    _, whole = read()
    assert brands_of(whole) == ["Acme", "Bolt"]
    with pytest.raises(ConfigError, match=r'brand = "Acne": no case or post is of it; did you mean "Acme"'):
        only_brand(whole, "Acne")


def test_the_configuration_of_a_brand_has_a_name_of_its_own_and_no_table_of_nobody(read) -> None:
    effect = "[[effects]]\nname = 'mailing'\ndesign = 'randomised'\noutcomes = ['visit']\n"
    more = effect + "table = { path = 'm.csv' }\ntreatment = { column = 'arm', control = 'no' }\n"
    config, _ = read(f"name = 'desk'\n{more}")
    own = for_brand(config, "Bolt / GmbH")
    assert (own.name, own.brand, own.effects) == ("desk, Bolt - GmbH", "Bolt / GmbH", ())


def test_on_an_earlier_day_the_customers_are_those_who_had_written_by_then(read) -> None:
    config, inputs = read("brand = 'Bolt'")
    found = build_histories(config, inputs).purchases_at
    assert found is not None

    def known(day: int) -> list[int]:
        return found(dt.date(2026, 3, day)).collect()["customer_id"].sort().to_list()

    assert [known(day) for day in (1, 2, 3, 4, 31)] == [[], [5], [5], [3, 5], [3, 5]]
