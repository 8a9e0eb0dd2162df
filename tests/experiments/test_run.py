"""A run keeps what it found in MLflow and in a bundle, and says what it left out."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from experiments.bundle.reading import load_bundle
from experiments.bundle.tables import TABLES
from experiments.comparing import compare_runs
from experiments.config import parse_config
from experiments.registering import set_champion
from experiments.registry import find_run, list_runs, runs_frame
from experiments.run import RunResult, run_experiment
from histories.errors import BundleError, ConfigError, DataError
from histories.samples import cdnow_path

CDNOW = {
    "name": "cdnow",
    "observation_end": "1998-06-30",
    "calibration_end": "1997-09-30",
    "time_unit": "week",
    "currency": "USD",
    "inputs": {
        "transactions": {
            "path": str(cdnow_path("sample")),
            "separator": "whitespace",
            "has_header": False,
            "timestamp_format": "%Y%m%d",
            "columns": {"customer_id": 2, "timestamp": 3, "quantity": 4, "amount": 5},
            "zero_orders": "count",
        }
    },
    "value": {"models": ["bg_nbd"], "challenger": False, "origins": 1, "posterior_draws": 400},
}

PATHS = "path,conversions,value,nulls\nforum > chat,3,30.0,2\nchat,1,5.0,4\n"


@pytest.fixture(scope="module")
def cdnow(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> tuple[RunResult, Path]:
    folder = tmp_path_factory.mktemp("cdnow")
    shutil.copytree(empty_store, folder / "mlruns")
    return run_experiment(parse_config(CDNOW), runs=folder / "runs", mlruns=folder / "mlruns"), folder


def test_parameters_and_holdout_match_fader_hardie_lee_2005(cdnow: tuple[RunResult, Path]) -> None:
    """Table 2, section 4: r .243, alpha 4.414, a .793, b 2.426, LL -9582.4; 1,653 forecast of 1,882."""
    bundle = load_bundle(cdnow[0].bundle)
    fit = bundle.model["calibration"]["bg_nbd"]
    published = {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}
    assert fit["parameters"] == pytest.approx(published, abs=2e-3)
    assert fit["log_likelihood"] == pytest.approx(-9582.43, abs=0.01)
    assert fit["lifetimes_log_likelihood"] == pytest.approx(fit["log_likelihood"], rel=1e-6)
    totals = {
        row["metric"]: row["value"]
        for row in bundle.table("validation").filter(pl.col("model") == "bg_nbd").iter_rows(named=True)
    }
    assert totals["total_predicted"] == pytest.approx(1653.4, abs=0.5)
    assert totals["total_actual"] == 1882


def test_every_table_is_there_and_the_manifest_says_why_some_are_empty(cdnow: tuple[RunResult, Path]) -> None:
    bundle = load_bundle(cdnow[0].bundle)
    assert {name for name in TABLES if bundle.table(name).is_empty()} >= {"credits", "effects", "care", "roi"}
    assert "touchpoints" in bundle.manifest["left_out"]["credits"]


def test_mlflow_keeps_parameters_metrics_tables_and_the_data_read(cdnow: tuple[RunResult, Path]) -> None:
    result, folder = cdnow
    (run,) = list_runs(folder / "mlruns")
    assert run.run_id == result.run_id
    assert run.parameters["chosen_model"] == "bg_nbd"
    assert run.metrics["holdout.total_predicted"] == pytest.approx(1653.4, abs=0.5)
    artifacts = folder / "mlruns" / "artifacts" / run.run_id / "artifacts" / "bundle"
    assert (artifacts / "report.html").exists()
    assert (artifacts / "customers.parquet").exists()


def test_a_run_becomes_the_champion_by_alias(cdnow: tuple[RunResult, Path]) -> None:
    result, folder = cdnow
    assert not list_runs(folder / "mlruns")[0].champion
    set_champion("cdnow", result.run_id, mlruns=folder / "mlruns")
    assert list_runs(folder / "mlruns")[0].champion
    assert runs_frame(list_runs(folder / "mlruns"))["champion"].to_list() == [True]


def test_a_run_is_found_by_the_beginning_of_its_id_or_by_its_bundle(cdnow: tuple[RunResult, Path]) -> None:
    result, folder = cdnow
    assert find_run(folder / "mlruns", result.run_id[:8]).run_id == result.run_id
    assert find_run(folder / "mlruns", str(result.bundle)).run_id == result.run_id
    with pytest.raises(ConfigError, match="no run with id"):
        find_run(folder / "mlruns", "zzz")


def test_a_folder_that_is_taken_is_refused_before_anything_begins(tmp_path: Path, mlruns: Path) -> None:
    (tmp_path / "taken").mkdir()
    config = parse_config({"name": "paths", "inputs": {"paths": "no_such.csv"}}, base_dir=tmp_path)
    with pytest.raises(BundleError, match="exists already"):
        run_experiment(config, runs=tmp_path / "runs", mlruns=mlruns, out=tmp_path / "taken")
    assert not (tmp_path / "runs").exists()


def test_runs_are_compared_by_what_differs(tmp_path: Path, mlruns: Path) -> None:
    (tmp_path / "paths.csv").write_text(PATHS)
    tree = {"name": "paths", "inputs": {"paths": "paths.csv"}}
    runs = []
    for method in ("last", "first"):
        config = parse_config({**tree, "attribution": {"methods": [method]}}, base_dir=tmp_path)
        runs.append(run_experiment(config, runs=tmp_path / "runs", mlruns=mlruns).run_id)
    table = compare_runs([find_run(mlruns, run) for run in runs])
    assert "attribution.methods" in table["name"].to_list()
    assert "seed" not in table["name"].to_list()


def test_counted_paths_alone_are_enough_for_descriptive_credit(tmp_path: Path, mlruns: Path) -> None:
    (tmp_path / "paths.csv").write_text(PATHS)
    methods = ["first", "last", "linear", "incremental"]
    config = parse_config(
        {"inputs": {"paths": "paths.csv"}, "attribution": {"methods": methods}}, base_dir=tmp_path
    )
    result = run_experiment(config, runs=tmp_path / "runs", mlruns=mlruns)
    credits = load_bundle(result.bundle).table("credits")
    chosen = credits.filter(
        (pl.col("outcome") == "conversion") & (pl.col("method") == "last") & (pl.col("level") == "channel")
    )
    assert dict(chosen.select("channel", "credit").iter_rows()) == {"chat": 4.0, "forum": 0.0}
    assert "no customers to compare" in result.left_out["incremental credit"]


def test_a_refused_run_is_kept_as_failed_with_its_reason(tmp_path: Path, mlruns: Path) -> None:
    config = parse_config({"inputs": {"transactions": "absent.csv"}}, base_dir=tmp_path)
    with pytest.raises((DataError, ConfigError), match=r"absent\.csv"):
        run_experiment(config, runs=tmp_path / "runs", mlruns=mlruns)
    (run,) = list_runs(mlruns)
    assert run.status == "failed"
    assert run.failure is not None
    assert "absent.csv" in run.failure
    assert not (tmp_path / "runs").exists()


def test_without_any_input_the_run_says_what_to_add(tmp_path: Path, mlruns: Path) -> None:
    with pytest.raises(ConfigError, match=r"Add \[inputs\]"):
        run_experiment(parse_config({}, base_dir=tmp_path), runs=tmp_path / "runs", mlruns=mlruns)


def test_the_manifest_counts_the_rows_and_holds_no_path_of_the_machine(cdnow: tuple[RunResult, Path]) -> None:
    manifest = json.loads((cdnow[0].bundle / "manifest.json").read_text())
    assert manifest["inputs"]["transactions"]["rows_read"] == 6919
    assert "base_dir" not in manifest["configuration"]
