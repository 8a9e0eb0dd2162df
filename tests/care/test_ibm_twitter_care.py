"""IBM's Twitter customer care set through the ready configuration, against figures of a script of its own."""

from __future__ import annotations

import runpy
from pathlib import Path

import polars as pl
import pytest

from care.intervals import wilson
from experiments.config import load_config
from experiments.inputs import read_inputs
from experiments.parts.care import CarePart, care_part
from experiments.parts.histories import build_histories
from tests.care.desks import figure

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "ibm_twitter_care"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the public data set is not in ../shared/data")


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> CarePart:
    folder = tmp_path_factory.mktemp("ibm")
    prepare = runpy.run_path(str(ROOT / "docs" / "prepare" / "ibm_twitter_care.py"))
    conversations, messages = (
        pl.read_parquet(DATA / f"{name}.parquet") for name in ("conversations", "messages")
    )
    tables = folder / "data" / "ibm_twitter_care"
    tables.mkdir(parents=True)
    prepare["prepare_posts"](conversations, messages).write_parquet(tables / "posts.parquet")
    prepare["prepare_cases"](conversations).write_parquet(tables / "cases.parquet")
    text = (ROOT / "examples" / "ibm_twitter_care.toml").read_text(encoding="utf-8")
    (folder / "care.toml").write_text(text, encoding="utf-8")
    config = load_config(folder / "care.toml")
    inputs = read_inputs(config)
    assert inputs.tables["posts"].rows_valid == 2_277
    assert inputs.tables["posts"].rejected_by_rule == {"missing author": 34}
    return care_part(config, build_histories(config, inputs))


def test_first_replies_in_seconds(part: CarePart) -> None:
    figures = part.tables["care"]
    assert figure(figures, "listened")["value"] == 1_025
    median = figure(figures, "first_response_p50", "calendar")
    assert (median["value"], median["n"]) == (5_459 / 60, 986)
    assert median["coverage"] == pytest.approx(0.962, abs=5e-4)
    assert figure(figures, "first_response_p90", "calendar")["value"] == 57_301 / 60
    assert part.cases.collect()["first_automatic_at"].count() == 0


@pytest.mark.parametrize(
    ("minutes", "share", "ends"),
    [(15, 0.2870, (0.2597, 0.3160)), (60, 0.4462, (0.4155, 0.4774)), (240, 0.6349, (0.6044, 0.6644))],
)
def test_shares_within_minutes(part: CarePart, minutes: int, share: float, ends: tuple[float, float]) -> None:
    found = figure(part.tables["care"], "waiting_curve", "calendar", segment=f"waiting: {minutes}")
    within = 1 - float(str(found["value"]))
    assert within == pytest.approx(share, abs=5e-5)
    assert wilson(within, 986) == pytest.approx(ends, abs=5e-5)


def test_the_interval_of_the_promise_allows_for_authors_with_several_cases(part: CarePart) -> None:
    found = figure(part.tables["care"], "service_level", "calendar")
    assert found["value"] == pytest.approx(0.4462, abs=5e-5)
    assert found["low"] == pytest.approx(0.4155, abs=5e-4)
    assert 0.4150 < float(str(found["low"])) <= wilson(float(str(found["value"])), 986)[0]


def test_a_brand_on_its_own(part: CarePart) -> None:
    found = figure(part.tables["care"], "service_level", "calendar", segment="brand: RockstarSupport")
    assert (found["n"], found["value"]) == (147, 127 / 147)
