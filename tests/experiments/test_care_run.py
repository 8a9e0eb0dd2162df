"""From raw posts to the bundle's tables of service figures and cases, by the configuration alone."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from attribution.credits.table import incremental_credits
from experiments.config import load_config
from experiments.inputs import read_inputs
from experiments.parts.care import CarePart, care_part
from experiments.parts.histories import build_histories
from experiments.parts.objectives import objectives_part
from tests.care.desks import figure, posts

CONFIG = """
observation_end = 2026-03-06
timezone = "Europe/London"
[inputs]
posts = "posts.csv"
[care.hours]
from = "9:00"
to = "17:30"
[[care.promises]]
name = "within the hour"
within_minutes = 60
share = 0.5
clock = "business"
"""


def _care(folder: Path, config: str = CONFIG, **tables: str) -> CarePart:
    frame = posts().rename({"at": "timestamp"})
    frame.write_csv(folder / "posts.csv", datetime_format="%Y-%m-%dT%H:%M:%SZ")
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
        config = config.replace("[inputs]", f'[inputs]\n{name} = "{name}.csv"')
    path = folder / "care.toml"
    path.write_text(config, encoding="utf-8")
    loaded = load_config(path)
    return care_part(loaded, build_histories(loaded, read_inputs(loaded)))


def test_posts_become_cases_and_figures(tmp_path: Path) -> None:
    part = _care(tmp_path)
    figures = part.tables["care"]
    assert figure(figures, "first_response_p50", "calendar")["value"] == 950
    assert figure(figures, "first_response_p50", "business")["value"] == 30
    kept = figure(figures, "promise", "business", segment="promise: within the hour")
    assert (kept["value"], kept["target"], kept["attained"]) == (0.6, 0.5, True)
    assert part.cases.collect().height == 6


def test_summer_time_does_not_move_the_clock(tmp_path: Path) -> None:
    """The same desk a month later: every wait is as long as before."""
    part = _care(tmp_path, CONFIG.replace('"Europe/London"', '"America/New_York"'))
    assert figure(part.tables["care"], "first_response_p50", "calendar")["value"] == 950


def test_known_authors_are_customers_whose_cases_meet_across_tables(tmp_path: Path) -> None:
    part = _care(
        tmp_path,
        identities="platform,handle,customer_id\ntwitter,@U3,7\n",
        cases="case_id,opened_at,channel,customer_id,first_response_at,resolved_at\n"
        "k1,2026-03-04T10:00:00Z,phone,7,2026-03-04T10:02:00Z,2026-03-04T10:10:00Z\n",
    )
    cases = part.cases.collect()
    phone = cases.filter(pl.col("channel") == "phone").row(0, named=True)
    assert phone["repeat_of"] == "post:p7"
    assert (phone["customer_id"], phone["status"]) == (7, "resolved")
    assert cases.filter(pl.col("case_id") == "post:p7")["customer_id"].to_list() == [7]


def test_cases_that_name_no_customer_stand_beside_whole_numbers_of_customers(tmp_path: Path) -> None:
    part = _care(
        tmp_path,
        CONFIG.replace('posts = "posts.csv"', ""),
        identities="platform,handle,customer_id\nphone,+4915100000001,7\n",
        cases="case_id,opened_at,channel,first_response_at\n"
        "k1,2026-03-04T10:00:00Z,phone,2026-03-04T10:02:00Z\n",
    )
    cases = part.cases.collect()
    assert cases.schema["customer_id"] == pl.Int64
    assert cases.select("case_id", "customer_id", "status").rows() == [("k1", None, "answered")]


def test_costs_are_cut_to_the_observed_days(tmp_path: Path) -> None:
    """Opened from the 2nd, observed to the 6th: 5 of the 10 days, half of the costs."""
    part = _care(tmp_path, costs="channel,period_start,period_end,amount\ntwitter,2026-02-25,2026-03-06,60\n")
    found = figure(part.tables["care"], "cost_per_answered")
    assert found["value"] == pytest.approx(30 / 3)


def test_without_posts_and_cases_the_reason_is_told(tmp_path: Path) -> None:
    config = CONFIG.replace('posts = "posts.csv"', 'touchpoints = "t.csv"')
    (tmp_path / "t.csv").write_text("customer_id,timestamp,channel\n1,2026-03-01T10:00:00Z,chat\n")
    assert _care(tmp_path, config).left_out == {"service figures": "no posts and no cases were given"}


def test_objectives_are_held_against_the_figures_of_the_run(tmp_path: Path) -> None:
    rows = (
        "objective,kpi,baseline,target,weight,now\nservice,,0.2,0.8,1,\nservice,happiness,0,1,1,\n"
        "product ideas,,0,10,1,4\ncommunity,credit spend social,0,10,1,\n"
    )
    part = _care(tmp_path, objectives=rows)
    loaded = load_config(tmp_path / "care.toml")
    histories = build_histories(loaded, read_inputs(loaded))
    credits = incremental_credits(
        {"forum": 5.0}, outcome="spend", baseline=1.0, total=6.0, groups={"forum": "social"}
    )
    made = objectives_part(histories, part.desk, part.tables["care"], credits=credits.frame)
    held, notes = made.pictures["objectives"], made.notes
    assert held["attainment"].to_list() == [pytest.approx((0.6 - 0.2) / 0.6), None, 0.4, 0.5]
    assert held["kpi"].to_list() == ["service_level", "happiness", None, "credit spend social"]
    assert any("the weighted score is 0.52" in note for note in notes)
    assert any('there is no figure "happiness"' in note for note in notes)


def test_with_a_key_no_case_leads_to_a_public_post(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIBUTARY_ID_KEY", "0123456789abcdef0123456789abcdef")
    cases = _care(tmp_path).cases.collect()
    assert cases["case_id"].str.contains("^post:[0-9a-f]{32}$").all()
    repeated = cases.filter(pl.col("repeat_of").is_not_null())
    assert repeated["repeat_of"].is_in(cases["case_id"].implode()).all()
    assert repeated.height == 1
