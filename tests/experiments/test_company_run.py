"""A simulated company from its files to the bundle: credits add up, and agree between tables."""

import dataclasses
import shutil
from pathlib import Path

import polars as pl
import pytest

from experiments.bundle.reading import Bundle, load_bundle
from experiments.config import RunConfig, load_config, parse_config
from experiments.run import run_experiment
from histories.errors import ConfigError
from histories.simulation.company import simulate_company
from histories.simulation.files import write_company

QUICK = [
    "attribution.replicates=3",
    "attribution.decay=0.55",
    'value.models=["bg_nbd"]',
    "value.challenger=false",
    "value.origins=1",
    "value.posterior_draws=200",
    'attribution.segments=["region"]',
    'attribution.outcomes=["conversion","spend","retention","repeat_purchase","lifetime_value"]',
]
WHOLE = (pl.col("segment") == "(all)") & (pl.col("period") == "(all)")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    folder = tmp_path_factory.mktemp("company")
    company = simulate_company(customers=400, months=12, seed=3)
    return load_config(write_company(company, folder, file_format="csv"), overrides=QUICK)


@pytest.fixture(scope="module")
def bundle(config: RunConfig, tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Bundle:
    folder = tmp_path_factory.mktemp("runs")
    mlruns = Path(shutil.copytree(empty_store, folder / "mlruns"))
    return load_bundle(run_experiment(config, runs=folder / "runs", mlruns=mlruns).bundle)


def test_every_credit_adds_up_to_its_total(bundle: Bundle) -> None:
    credits = bundle.table("credits").filter(pl.col("credit").is_not_null() & (pl.col("level") != "group"))
    parts = credits.group_by("outcome", "method", "segment").agg(
        total=pl.col("credit").filter(pl.col("level") == "total").sum(),
        parts=pl.col("credit").filter(pl.col("level") != "total").sum(),
    )
    assert parts.height >= 20
    assert (parts["parts"] - parts["total"]).abs().max() < 1e-6  # type: ignore[operator]


def test_the_run_says_which_decay_its_credit_rests_on(bundle: Bundle) -> None:
    words = "Incremental credit: stocks keep 0.55 from period to period (given"
    assert any(note.startswith(words) for note in bundle.manifest["notes"])


def test_spend_is_what_the_purchases_hold(bundle: Bundle) -> None:
    spend = bundle.table("purchases")["amount"].sum()
    rows = bundle.table("credits").filter(
        WHOLE & (pl.col("outcome") == "spend") & (pl.col("level") == "total")
    )
    descriptive = rows.filter(pl.col("kind") == "descriptive")["credit"]
    assert descriptive.to_list() == pytest.approx([spend] * descriptive.len())
    assert rows.filter(pl.col("kind") == "incremental")["credit"].to_list() == pytest.approx([spend])


def test_credit_of_single_touches_is_that_of_their_channels(bundle: Bundle) -> None:
    by_touch = dict(
        bundle.table("touchpoints").group_by("channel").agg(pl.col("spend_credit").sum()).iter_rows()
    )
    linear = bundle.table("credits").filter(
        WHOLE
        & (pl.col("outcome") == "spend")
        & (pl.col("method") == "linear")
        & (pl.col("level") == "channel")
    )
    for channel, credit in linear.select("channel", "credit").iter_rows():
        assert by_touch[channel] == pytest.approx(credit, abs=1e-6)


def test_segments_are_parts_of_the_whole(bundle: Bundle) -> None:
    rows = bundle.table("credits").filter(
        (pl.col("outcome") == "conversion") & (pl.col("method") == "last") & (pl.col("level") == "total")
    )
    whole = rows.filter(pl.col("segment") == "(all)")["credit"].item()
    assert rows.filter(pl.col("segment").str.starts_with("region: "))["credit"].sum() == pytest.approx(whole)


def test_incremental_credit_of_segments_with_common_effects_adds_up_to_that_of_everybody(
    bundle: Bundle,
) -> None:
    rows = bundle.table("credits").filter(pl.col("method") == "incremental")
    keys = ["outcome", "level", "channel"]
    whole = rows.filter(pl.col("segment") == "(all)").select(*keys, whole="credit")
    parts = rows.filter(pl.col("segment").str.starts_with("region: "))
    assert set(parts["segment"]) == {f"region: {name}" for name in ("north", "south", "east", "west")}
    sums = parts.group_by(keys).agg(pl.col("credit").sum(), pl.col("customers").sum()).join(whole, on=keys)
    assert sums.height == whole.height
    assert set(sums["outcome"]) == {"spend", "retention", "lifetime_value"}
    assert (sums["credit"] - sums["whole"]).abs().max() < 1e-6  # type: ignore[operator]
    assert (sums.filter(pl.col("level") == "total")["customers"] == 400).all()
    supported = parts.filter(pl.col("supported"))
    assert supported["reason"].str.contains(r"customers fitted, below 1,000").all()


def test_experiments_and_landmarks_are_listed_whatever_became_of_them(bundle: Bundle) -> None:
    assert set(bundle.table("effects")["name"]) == {"newsletter test", "reply within two hours"}


def test_every_figure_that_is_not_supported_says_why(bundle: Bundle) -> None:
    for name in ("credits", "effects"):
        refused = bundle.table(name).filter(~pl.col("supported"))
        assert refused["reason"].null_count() == 0


def test_the_report_has_a_section_for_each_part(bundle: Bundle) -> None:
    html = (bundle.file("report.html") or b"").decode()
    for key in ("proven", "sure", "value", "evidence", "segments", "coverage"):
        assert f'<section class="part" id="{key}">' in html


def test_retention_is_left_out_where_nobody_says_who_acts(tmp_path: Path, mlruns: Path) -> None:
    (tmp_path / "orders.csv").write_text("customer_id,timestamp,amount\n1,2026-01-01,10\n1,2026-03-01,10\n")
    (tmp_path / "touches.csv").write_text("customer_id,timestamp,channel\n1,2026-02-01 10:00,forum\n")
    inputs = {"transactions": "orders.csv", "touchpoints": "touches.csv"}
    config = parse_config({"inputs": inputs, "value": {"models": []}}, base_dir=tmp_path)
    made = run_experiment(config, runs=tmp_path / "runs", mlruns=mlruns)
    assert "Retention needs to know who acts in 1 channels: forum" in made.left_out["incremental credit"]


def test_an_outcome_that_no_chosen_method_can_credit_leaves_the_table_empty(
    tmp_path: Path, mlruns: Path
) -> None:
    (tmp_path / "orders.csv").write_text("customer_id,timestamp,amount\n1,2026-01-01,10\n1,2026-03-01,10\n")
    (tmp_path / "touches.csv").write_text("customer_id,timestamp,channel\n1,2026-02-01 10:00,forum\n")
    tree = {
        "inputs": {"transactions": "orders.csv", "touchpoints": "touches.csv"},
        "value": {"models": []},
        "attribution": {"outcomes": ["lifetime_value"], "methods": ["last"]},
    }
    config = parse_config(tree, base_dir=tmp_path)
    made = load_bundle(run_experiment(config, runs=tmp_path / "runs", mlruns=mlruns).bundle)
    assert made.table("credits").is_empty()
    assert made.table("touchpoints").height == 1


def test_a_segment_that_no_customer_has_is_refused_with_the_nearest(
    config: RunConfig, tmp_path: Path, mlruns: Path
) -> None:
    wrong = dataclasses.replace(config.attribution, segments=("regoin",))
    with pytest.raises(ConfigError, match=r'no column "regoin" in customers; did you mean "region"'):
        run_experiment(dataclasses.replace(config, attribution=wrong), runs=tmp_path / "runs", mlruns=mlruns)
