"""A part of a run that fails costs no other part: the reason stands in its place."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import polars as pl
import pytest

import experiments.parts.value
from benchmarks.panels.form_lives import CHANNELS
from benchmarks.panels.form_scenarios import FORMS
from benchmarks.panels.forms import simulate_tables
from experiments.bundle.reading import load_bundle
from experiments.config import parse_config
from experiments.run import Findings, run_experiment
from histories.identity import identity_digests, key_check
from reports.build import build_context
from reports.settings import ReportSettings
from reports.sources import ReportSources
from tests.experiments.small import TREE, merged, run_small, small_company

BOUGHT_ONCE = "customer_id,timestamp,amount\n" + "".join(
    f"{customer},2025-0{1 + customer % 6}-{1 + customer % 28:02d} 10:00,20\n" for customer in range(1, 41)
)
TOUCHES = "customer_id,timestamp,channel\n" + "".join(
    f"{n},2025-0{1 + n % 6}-{1 + n % 28:02d} 09:00,{'chat' if n % 3 else 'forum'}\n" for n in range(1, 31)
)

LITTLE = {"value": {"models": []}, "attribution": {"methods": ["last"], "replicates": 0}}
"""Settings of a run whose values and credit nobody asks for."""


def channel_credit(found: Findings, *, outcome: str, method: str) -> dict[str, float]:
    rows = found.tables["credits"].filter(
        (pl.col("outcome") == outcome) & (pl.col("method") == method) & (pl.col("level") == "channel")
    )
    return dict(rows.filter(pl.col("segment") == "(all)").select("channel", "credit").iter_rows())


def test_where_everybody_buys_once_credit_is_made_and_value_is_left_out_with_the_reason(
    tmp_path: Path,
) -> None:
    found = run_small(tmp_path, {"transactions": BOUGHT_ONCE, "touchpoints": TOUCHES})
    assert channel_credit(found, outcome="conversion", method="last") == {"chat": 20.0, "forum": 10.0}
    assert "customers" not in found.tables
    reason = found.left_out["customer values"]
    assert reason.count("none of 40 customers bought again") == 1


def test_few_buyers_in_the_holdout_give_figures_without_an_interval_and_a_note(tmp_path: Path) -> None:
    later = "7,2025-11-01,30\n9,2025-11-02,30\n"
    repeat = "".join(f"{customer},2025-0{1 + customer % 6}-28,15\n" for customer in range(1, 31))
    found = run_small(tmp_path, {"transactions": BOUGHT_ONCE + repeat + later})
    rows = found.tables["validation"].filter(pl.col("model") == "bg_nbd")
    revenue = rows.filter(pl.col("metric") == "revenue_actual")
    assert revenue["value"].to_list() == [60.0]
    assert revenue["low"].to_list() == [None]
    assert any("only 2 of 40 customers bought after 2025-08-31" in note for note in found.notes)


def test_a_fault_in_one_part_is_named_and_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("Ann")

    monkeypatch.setattr(experiments.parts.value, "value_customers", broken)
    found = run_small(tmp_path, small_company())
    assert found.left_out["customer values"].startswith("unexpected KeyError at ")
    assert "Ann" not in found.left_out["customer values"]
    assert sum(channel_credit(found, outcome="conversion", method="last").values()) > 0


def test_an_outcome_that_cannot_be_credited_leaves_the_others(tmp_path: Path) -> None:
    found = run_small(tmp_path, {"transactions": BOUGHT_ONCE, "touchpoints": TOUCHES})
    assert "No customer bought twice" in found.left_out["retention, descriptive"]
    assert set(found.tables["credits"]["outcome"]) == {"conversion", "spend"}


def test_channels_without_origin_leave_out_incremental_credit_only(tmp_path: Path) -> None:
    tree = {"attribution": {"methods": ["last", "incremental"]}, "channels": {"chat": {"origin": None}}}
    found = run_small(tmp_path, small_company(), tree)
    assert "who acts in 1 channels: chat" in found.left_out["incremental credit"]
    assert set(found.tables["credits"]["method"]) == {"last"}
    assert found.tables["customers"].height == 60


def test_an_outcome_without_any_incremental_credit_is_named_with_the_reason(tmp_path: Path) -> None:
    company, _ = simulate_tables(FORMS["loyal"], n=150, periods=8, seed=1)
    names = ("customers", "transactions", "touchpoints")
    tables = {name: getattr(company, name).write_csv() for name in names}
    origins = {channel.name: {"origin": channel.origin} for channel in CHANNELS}
    asked = {"methods": ["incremental"], "outcomes": ["spend", "retention"], "replicates": 5}
    tree = merged(LITTLE, {"attribution": asked, "channels": origins})
    found = run_small(tmp_path, tables, tree | {"observation_end": company.observation_end})
    assert found.left_out["incremental credit of retention"] == "nobody is seen to leave"
    assert "incremental credit of spend" not in found.left_out
    assert None not in channel_credit(found, outcome="spend", method="incremental").values()


def test_every_given_table_that_made_nothing_is_named(tmp_path: Path) -> None:
    tables = small_company()
    tables |= {
        "identities": "platform,handle,customer_id\nx,@a,1\n",
        "paths": "path,conversions\nforum > chat,3\n",
        "assumptions": "name,value,source,owner,set_on,expires\nrate,0.1,us,me,2025-01-01,2026-01-01\n",
    }
    found = run_small(tmp_path, tables, LITTLE)
    named = {part.removeprefix("table ") for part in found.left_out if part.startswith("table ")}
    assert named >= {"identities", "assignments", "paths"}
    assert not named & {"customers", "cases", "costs", "assumptions"}
    without = {name: text for name, text in tables.items() if name not in ("cases", "costs")}
    assert "table assumptions" in run_small(tmp_path, without, LITTLE).left_out
    posts = "post_id,platform,author,timestamp\np1,x,@a,2025-03-01\n"
    assert "table identities" not in run_small(tmp_path, tables | {"posts": posts}, LITTLE).left_out


def test_a_table_that_an_effect_reads_is_not_called_unused(tmp_path: Path) -> None:
    effect = {
        "name": "welcome",
        "design": "randomised",
        "treatment": {"control": "none"},
        "outcomes": ["spend"],
        "follow_up_days": 60,
    }
    found = run_small(tmp_path, small_company(), {"effects": [effect], **LITTLE})
    assert "table assignments" not in found.left_out
    assert found.tables["effects"]["name"].unique().to_list() == ["welcome"]


def test_the_report_and_the_bundle_appear_without_customer_values(tmp_path: Path, mlruns: Path) -> None:
    for name, text in {"transactions": BOUGHT_ONCE, "touchpoints": TOUCHES}.items():
        (tmp_path / f"{name}.csv").write_text(text)
    tree = merged(TREE, {"inputs": {name: f"{name}.csv" for name in ("transactions", "touchpoints")}})
    result = run_experiment(parse_config(tree, base_dir=tmp_path), runs=tmp_path / "runs", mlruns=mlruns)
    bundle = load_bundle(result.bundle)
    assert "none of 40 customers bought again" in bundle.manifest["left_out"]["customer values"]
    assert b"Who was there before" in (result.bundle / "report.html").read_bytes()
    assert bundle.table("customers").is_empty()


def test_handles_are_in_the_bundle_under_the_key_of_a_file_that_is_not_and_in_none_without(
    tmp_path: Path, mlruns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRIBUTARY_IDENTITY_KEY", raising=False)
    (tmp_path / "transactions.csv").write_text(BOUGHT_ONCE)
    (tmp_path / "identities.csv").write_text("platform,handle,customer_id\nphone,07911 123456,7\n")
    (tmp_path / "secret").write_text("a secret of the file\n")
    tree = merged(TREE, {"inputs": {name: f"{name}.csv" for name in ("transactions", "identities")}})
    found = {}
    for name, told in {"without": {}, "with": {"country": "GB", "key_file": "secret"}}.items():
        config = parse_config(merged(tree, {"identity": told}), base_dir=tmp_path)
        found[name] = load_bundle(run_experiment(config, runs=tmp_path / name, mlruns=mlruns).bundle)
    assert found["without"].table("identities").is_empty()
    assert "Set TRIBUTARY_IDENTITY_KEY" in found["without"].manifest["left_out"]["identities"]
    assert found["without"].manifest["identities_check"] is None
    asked = pl.DataFrame({"platform": ["sms"], "handle": ["+447911123456"]})
    digest = identity_digests(asked, b"a secret of the file").item()
    assert found["with"].table("identities").rows() == [(7, digest)]
    assert "identities" not in found["with"].manifest["left_out"]
    held = b"".join(path.read_bytes() for path in found["with"].path.rglob("*") if path.is_file())
    assert b"a secret of the file" not in held
    assert found["with"].manifest["identities_check"] == key_check(b"a secret of the file")


def test_a_report_that_fails_leaves_the_bundle(
    tmp_path: Path, mlruns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("experiments.run.build_context", broken)
    (tmp_path / "transactions.csv").write_text(BOUGHT_ONCE)
    tree = merged(TREE, {"inputs": {"transactions": "transactions.csv"}})
    result = run_experiment(parse_config(tree, base_dir=tmp_path), runs=tmp_path / "runs", mlruns=mlruns)
    assert "unexpected ZeroDivisionError" in load_bundle(result.bundle).manifest["left_out"]["report"]
    assert load_bundle(result.bundle).table("purchases").height == 40


def test_nothing_at_all_still_makes_a_report() -> None:
    sources = ReportSources(tables={}, manifest={}, model={}, settings=ReportSettings(), gross_margin=None)
    assert dataclasses.is_dataclass(build_context(sources))


def test_every_method_counts_retention_in_customers_and_periods_apart(tmp_path: Path) -> None:
    tables = small_company()
    people = [line.split(",") for line in tables["customers"].splitlines()[1:]]
    ended = {row[0]: "2025-10-15" if int(row[0]) % 3 == 0 else "" for row in people}
    tables["customers"] = "customer_id,acquired_at,ended_at\n" + "".join(
        f"{row[0]},{row[1]},{ended[row[0]]}\n" for row in people
    )
    outcomes = ["retention", "retention_periods"]
    tree = {"attribution": {"outcomes": outcomes}, "value": {"models": []}}
    found = run_small(tmp_path, tables, tree)
    totals = found.tables["credits"].filter(pl.col("level") == "total")
    kept = totals.filter(pl.col("outcome") == "retention")
    assert kept["credit"].to_list() == pytest.approx([40.0] * kept.height)
    assert set(kept["method"]) == {"last", "linear", "markov", "shapley"}
    assert (totals.filter(pl.col("outcome") == "retention_periods")["credit"] > 300).all()


def test_a_handful_of_customers_is_not_compared(tmp_path: Path) -> None:
    tree = {"attribution": {"methods": ["last", "incremental"], "outcomes": ["spend"]}}
    found = run_small(tmp_path, small_company(6), tree)
    assert "too few to compare; 20 of each needed" in found.left_out["incremental credit"]
    assert set(found.tables["credits"]["method"]) == {"last"}


def test_more_channels_than_a_model_tells_apart_cost_incremental_credit_alone(tmp_path: Path) -> None:
    touches = "customer_id,timestamp,channel\n" + "".join(
        f"{1 + n % 40},2025-0{1 + n % 6}-{1 + n % 28:02d} 09:00,campaign {n % 101}\n" for n in range(1_111)
    )
    tree = {"attribution": {"methods": ["last", "incremental"], "outcomes": ["spend"]}}
    found = run_small(tmp_path, small_company() | {"touchpoints": touches}, merged(LITTLE, tree))
    assert "101 channels are too many to tell their effects apart" in found.left_out["incremental credit"]
    assert set(found.tables["credits"]["method"]) == {"last"}
