"""The desk of data scientists: files that extend others, sweeps, comparisons, models that load, scores."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pytest

from experiments.bundle.reading import Bundle, load_bundle
from experiments.champion import reason_against
from experiments.comparing import Moved, compare_runs
from experiments.config import load_config, parse_config
from experiments.inputs import read_inputs
from experiments.metrics import run_metrics
from experiments.parts.histories import build_histories
from experiments.registering import set_challenger, set_champion
from experiments.registry import find_run
from experiments.run import run_experiment
from experiments.scoring import score_bundle
from experiments.sweeping import grid, sweep
from histories.errors import ConfigError
from tests.experiments.test_run import CDNOW
from tributary.cli import main

PATHS = "path,conversions,value,nulls\nforum > chat,3,30.0,2\nchat,1,5.0,4\n"


def test_a_file_takes_the_keys_of_those_it_extends_and_their_paths_stay_theirs(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "base.toml").write_text(
        'currency = "EUR"\n[value]\nhorizon_months = 24\nmodels = ["bg_nbd", "mbg_nbd"]\n'
        '[inputs]\npaths = "data/paths.csv"\n'
    )
    (tmp_path / "c.toml").write_text('extends = "shared/base.toml"\n[value]\nmodels = ["bg_nbd"]\n')
    config = load_config(tmp_path / "c.toml", overrides=["value.origins=2"])
    assert (config.name, config.currency) == ("c", "EUR")
    assert config.value.models == ("bg_nbd",)
    assert (config.value.horizon_months, config.value.origins) == (24, 2)
    assert config.inputs["paths"][0].path == "shared/data/paths.csv"


def test_a_file_that_extends_itself_or_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('extends = "b.toml"\n')
    (tmp_path / "b.toml").write_text('extends = ["a.toml"]\n')
    with pytest.raises(ConfigError, match=r"a\.toml extends b\.toml extends a\.toml"):
        load_config(tmp_path / "a.toml")
    (tmp_path / "c.toml").write_text('extends = "absent.toml"\n')
    with pytest.raises(ConfigError, match=r"absent\.toml: there is no such file"):
        load_config(tmp_path / "c.toml")


def test_a_grid_is_every_combination_or_side_by_side() -> None:
    over = ["seed=[1, 2]", 'value.models=[["bg_nbd"], ["mbg_nbd"]]']
    assert len(grid(over)) == 4
    assert [s.label for s in grid(over, together=True)] == [
        "seed=1, value.models=bg_nbd",
        "seed=2, value.models=mbg_nbd",
    ]
    with pytest.raises(ConfigError, match="no key with a list"):
        grid(["seed=1"])
    with pytest.raises(ConfigError, match="lists of one length"):
        grid(["seed=[1, 2]", "value.origins=[1]"], together=True)


def test_a_sweep_nests_its_runs_and_goes_on_where_it_was(tmp_path: Path, mlruns: Path) -> None:
    (tmp_path / "paths.csv").write_text(PATHS)
    config = tmp_path / "paths.toml"
    config.write_text('[inputs]\npaths = "paths.csv"\n')
    settings = grid(['attribution.methods=[["last"], ["first"]]'])
    first = sweep(config, settings[:1], runs=tmp_path / "runs", mlruns=mlruns)
    both = sweep(config, settings, runs=tmp_path / "runs", mlruns=mlruns)
    assert first["status"].to_list() == ["finished"]
    assert both["status"].to_list() == ["kept from before", "finished"]
    assert both["run"][0] == first["run"][0]
    with pytest.raises(ConfigError, match=r"unknown key"):
        sweep(config, grid(["value.sed=[1]"]), runs=tmp_path / "runs", mlruns=mlruns)
    table = compare_runs([find_run(mlruns, run) for run in both["run"]])
    assert table.filter(pl.col("kind") == "parameter")["name"].to_list() == ["attribution.methods"]
    assert table.filter(pl.col("kind") == "data").is_empty()


def test_a_sweep_says_how_many_runs_failed_and_fails_where_all_did(
    tmp_path: Path, mlruns: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "paths.csv").write_text(PATHS)
    (tmp_path / "none.csv").write_text("path,conversions\nchat,-1\n")
    config = tmp_path / "paths.toml"
    config.write_text('[inputs]\npaths = "paths.csv"\n')

    def status(*files: str) -> int:
        folders = ["--runs", str(tmp_path / "runs"), "--mlruns", str(mlruns)]
        with pytest.raises(SystemExit) as stop:
            main(["sweep", str(config), "--over", f"inputs.paths={json.dumps(files)}", *folders])
        return int(stop.value.code or 0)

    assert status("paths.csv", "none.csv") == 0
    assert "1 of 2 runs failed" in capsys.readouterr().err
    assert status("none.csv") == 1
    assert "1 of 1 runs failed" in capsys.readouterr().err


def test_a_figure_moved_beyond_chance_where_the_halves_that_face_each_other_add_up_to_less() -> None:
    def moved(now: float, half: float | None) -> Moved:
        ends = None if half is None else (now - half, now + half)
        return Moved(name="x", before=10.0, now=now, before_range=(9.0, 13.0), now_range=ends)

    assert moved(16.0, 4.0).chance == 5.0  # 3 above the one, 4 below the other
    assert (moved(16.0, 4.0).beyond_chance, moved(14.9, 4.0).beyond_chance) == (True, False)
    assert moved(5.0, 4.0).chance == pytest.approx(17**0.5)
    assert moved(16.0, None).beyond_chance is None


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> tuple[str, Bundle, Path]:
    folder = tmp_path_factory.mktemp("desk")
    shutil.copytree(empty_store, folder / "mlruns")
    result = run_experiment(parse_config(CDNOW), runs=folder / "runs", mlruns=folder / "mlruns")
    return result.run_id, load_bundle(result.bundle), folder / "mlruns"


def test_the_champion_loads_by_its_alias_and_scores_a_frame(
    made: tuple[str, Bundle, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, _, mlruns = made
    set_champion("cdnow", run_id, mlruns=mlruns)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{mlruns / 'mlflow.db'}")
    model = mlflow.pyfunc.load_model("models:/cdnow@champion")
    assert model.metadata.signature.inputs.input_names()[:3] == ["frequency", "recency", "T"]
    frame = pd.DataFrame({"frequency": [2.0, 1.0], "recency": [30.43, 50.0], "T": [38.86, 30.0]})
    scores = model.predict(frame)
    assert 0.0 < scores["probability_alive"][0] < 1.0
    assert scores["expected_purchases"][0] > 0.0
    assert np.isnan(scores["expected_purchases"][1])  # a recency beyond T is impossible


def test_a_version_has_a_card_and_a_kept_back_run_is_the_challenger(made: tuple[str, Bundle, Path]) -> None:
    from experiments.tracking import connect

    run_id, _, mlruns = made
    set_challenger("cdnow", run_id, mlruns=mlruns)
    version = connect(mlruns).get_model_version_by_alias("cdnow", "challenger")
    assert "| 1997-09-30 to 1998-06-30 |" in version.description
    assert version.tags["tributary.as_of"] == "1998-06-30"


def test_a_refuted_run_and_a_clearly_worse_one_are_kept_from_promotion(
    made: tuple[str, Bundle, Path],
) -> None:
    bundle = made[1]
    assert reason_against(bundle, None) is None
    assert reason_against(bundle, bundle) is None
    refuted = replace(
        bundle, manifest={**bundle.manifest, "forecast": {"status": "refuted", "reason": "why"}}
    )
    assert reason_against(refuted, None) == "its forecast is refuted: why"


def test_new_data_is_scored_and_the_rule_says_when_to_fit_again(made: tuple[str, Bundle, Path]) -> None:
    bundle = made[1]
    config = parse_config(CDNOW)
    same = score_bundle(bundle, build_histories(config, read_inputs(config)))
    assert same.customers.height == 2357
    assert same.decay is None
    assert same.refit == ()
    stored, scored = bundle.table("customers").sort("customer_id"), same.customers.sort("customer_id")
    for column in ("probability_alive", "churn_probability", "expected_purchases", "customer_lifetime_value"):
        assert scored[column].to_numpy() == pytest.approx(stored[column].to_numpy(), rel=1e-9), column

    later = build_histories(config, read_inputs(config))
    silent = replace(
        later, inputs=replace(later.inputs, observation_end=date(1998, 6, 30) + timedelta(days=500))
    )
    found = score_bundle(bundle, silent)
    assert found.decay is not None
    assert found.decay["actual"] == 0.0 < found.decay["low"]
    assert any("were expected" in reason for reason in found.refit)
    assert any("500 days old" in reason for reason in found.refit)


def test_what_covariates_do_is_a_figure_of_the_run() -> None:
    effect = {"club=yes": {"estimate": 0.5, "std_error": None}}
    fit = {"purchase": effect, "dropout": effect, "log_likelihood_gain": 3.0}
    assert run_metrics({}, {"covariates": {"bg_nbd": fit}}) == {
        "covariate.bg_nbd.purchase.club yes": 0.5,
        "covariate.bg_nbd.dropout.club yes": 0.5,
        "covariate.bg_nbd.log_likelihood_gain": 3.0,
    }
