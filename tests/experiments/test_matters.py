"""Service figures are the same however many buckets the cases are dealt to."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from care.groups import GROUP, find_groups, grouped, with_keys
from care.tables import CARE_SCHEMA
from experiments.config import RunConfig, parse_config
from experiments.inputs import read_inputs
from experiments.parts.care import CarePart, care_part, find_cases
from experiments.parts.costs import channel_costs
from experiments.parts.evidence import effect_tables
from experiments.parts.histories import build_histories
from experiments.run import _allocated
from histories.engines.base import Engine, Local
from histories.engines.spilled import Spilled

TREE = {
    "observation_end": "2026-06-30",
    "timezone": "Europe/London",
    "channels": {"chat": {"group": "own"}, "forum": {"group": "own"}},
    "care": {
        "hours": {"from": "9:00", "to": "17:30"},
        "promises": [
            {"name": "quick", "within_minutes": 60, "share": 0.5, "clock": "business"},
            {"name": "on", "within_minutes": 240, "share": 0.5, "kpi": "next_response", "group": "own"},
            {
                "name": "done",
                "within_minutes": 2880,
                "share": 0.5,
                "kpi": "resolution",
                "since": "2026-03-01",
            },
        ],
    },
}
START = datetime(2026, 1, 5, 8)


def company(seed: int) -> dict[str, str]:
    """Cases of known, unknown and one busy customer; parents of others; posts that name cases; moves."""
    rng = random.Random(seed)
    cases, written, bought, met, people = [], [], [], [], []
    channels = ["chat", "forum", "phone"]
    for number in range(300):
        who = "" if number % 5 == 0 else 7 if number % 3 == 0 else rng.randrange(60)
        at = START + timedelta(minutes=rng.randrange(250_000), hours=0)
        first = at + timedelta(minutes=rng.randrange(600)) if rng.random() < 0.8 else ""
        solved = first + timedelta(minutes=rng.randrange(4000)) if first and rng.random() < 0.7 else ""
        parent = f"c{rng.randrange(number)}" if number and rng.random() < 0.1 else ""
        words = (
            f"c{number}", at, rng.choice(channels), who, parent, first, solved, rng.choice(["ann", "bo", ""]),
            rng.choice(["bill", "parcel", ""]), rng.choice(["", 1, 3, 5]), rng.randrange(1, 4),
            rng.choice(["", 90, 400.5]), rng.randrange(9),
        )  # fmt: skip
        cases.append(",".join(map(str, words)))
    for number in range(240):
        at = START + timedelta(minutes=rng.randrange(250_000))
        author, named = f"u{rng.randrange(40)}", f"c{rng.randrange(300)}" if rng.random() < 0.1 else ""
        asked = rng.choice(["where is it?", "lovely", "why not?"])
        written.append(f"p{number},chat,{author},{at},,{named},{asked},false,{rng.randrange(900)}")
        if rng.random() < 0.7:
            said = rng.choice(["we look", "please call us", "please send us a DM with your number"])
            later = at + timedelta(minutes=rng.randrange(900))
            written.append(f"r{number},chat,acme,{later},p{number},,{said},true,")
    for _ in range(500):
        day = START + timedelta(minutes=rng.randrange(250_000))
        bought.append(f"{rng.randrange(60)},{day},{rng.randrange(100, 9000) / 100}")
        met.append(f"{rng.randrange(60)},{day},{rng.choice(channels)},care,inbound")
    people = [f"chat,u{number},{number + 40}" for number in range(0, 40, 2)]
    headers = {
        "cases": "case_id,opened_at,channel,customer_id,parent_case_id,first_response_at,resolved_at,agent,"
        "topic,csat,contacts,handling_seconds,redirected_at",
        "posts": "post_id,platform,author,timestamp,in_reply_to,case_id,text,is_brand,followers",
        "identities": "platform,handle,customer_id",
        "transactions": "customer_id,timestamp,amount",
        "touchpoints": "customer_id,timestamp,channel,kind,direction",
        "costs": "channel,period_start,period_end,amount",
    }
    costs = [f"{name},2026-01-01,2026-06-30,{cost}" for name, cost in (("chat", 9000.01), ("phone", 777.77))]
    lines = [cases, written, people, bought, met, costs]
    return {
        name: "\n".join([header, *rows]) for (name, header), rows in zip(headers.items(), lines, strict=True)
    }


def configure(folder: Path, tables: dict[str, str]) -> RunConfig:
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text + "\n", encoding="utf-8")
    return parse_config({**TREE, "inputs": {name: f"{name}.csv" for name in tables}}, base_dir=folder)


def found_with(config: RunConfig, engine: Engine) -> tuple[CarePart, dict[str, pl.DataFrame]]:
    """Service figures and cases; costs by customer, and what effects are estimated from."""
    histories = build_histories(config, read_inputs(config), engine=engine)
    cases = find_cases(config, histories)
    assert cases is not None
    allocated = _allocated(histories, channel_costs(histories), cases)
    read = effect_tables(config, histories, cases).cases
    assert allocated is not None
    assert read is not None
    values = pl.DataFrame({"customer_id": range(60), "customer_lifetime_value": [n * 1.1 for n in range(60)]})
    part = care_part(config, histories, values, cases)
    return part, {"costs": allocated.shares, "of effects": read.collect()}


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[RunConfig, CarePart, dict[str, pl.DataFrame]]:
    config = configure(tmp_path_factory.mktemp("company"), company(1))
    return config, *found_with(config, Local())


def test_service_figures_of_buckets_are_those_of_all_cases_at_once(
    both: tuple[RunConfig, CarePart, dict[str, pl.DataFrame]], tmp_path: Path
) -> None:
    config, whole, read = both
    part, other = found_with(config, Spilled(tmp_path, memory=1, buckets=5))
    assert (part.notes, part.left_out) == (whole.notes, whole.left_out)
    assert part.cases is not None
    assert whole.cases is not None
    assert_frame_equal(part.cases.collect(), whole.cases.collect())
    for name, table in whole.tables.items():
        assert_frame_equal(part.tables[name], table, rel_tol=1e-9, abs_tol=1e-12)
    for name, table in read.items():
        assert_frame_equal(other[name], table)
    exact = (pl.col("unit") == "cases") | pl.col("kpi").str.contains(r"_p\d\d$|^waiting_curve")
    counted, all_at_once = (one.tables["care"].filter(exact) for one in (part, whole))
    assert_frame_equal(counted, all_at_once, check_exact=True)
    said = {*part.tables["care"].drop_nulls("value")["kpi"]}
    assert {"service_level", "repeat_rate", "redirection_completion", "service_to_sales", "promise"} <= said
    assert part.tables["care"].schema == CARE_SCHEMA


def test_a_desk_without_purchases_and_touches_is_split_too(tmp_path: Path) -> None:
    config = configure(tmp_path, {"cases": company(3)["cases"]})
    inputs = read_inputs(config)
    whole, part = (
        care_part(config, build_histories(config, inputs, engine=engine))
        for engine in (Local(), Spilled(tmp_path / "spill", memory=1, buckets=3))
    )
    assert_frame_equal(part.tables["care"], whole.tables["care"], rel_tol=1e-9, abs_tol=1e-12)


def test_authors_whom_a_case_joins_are_one_group() -> None:
    desk = with_keys(
        pl.LazyFrame(
            {
                "case_id": [1, 2, 3, 4],
                "customer_id": ["a", "b", None, "c"],
                "parent_case_id": [None, 1, 2, None],
            }
        )
    )
    posts = with_keys(
        pl.LazyFrame(
            {"case_id": ["4", "post:9"], "key": ["author:x", "author:y"], "customer_id": [None, "d"]}
        )
    )
    groups = find_groups(desk, posts)
    rows = pl.concat([rows.select("key") for rows in (desk, posts)])
    placed = dict(grouped(rows, groups).select("key", GROUP).collect().iter_rows())
    assert placed == {
        "customer:a": "case:3",
        "customer:b": "case:3",
        "case:3": "case:3",
        "customer:c": "author:x",
        "author:x": "author:x",
        "author:y": "author:y",
    }
