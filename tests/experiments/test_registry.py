"""The list of runs: read from the database itself, and the same as MLflow says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from experiments.registering import set_champion
from experiments.registry import _ask_mlflow, list_runs
from experiments.tracking import KILLED, PROCESS, open_run
from histories.errors import ConfigError, DataError


@pytest.fixture
def kept(mlruns: Path, tmp_path: Path) -> Path:
    """Three runs of two experiments: one serves, one failed."""
    for name, failure in (("a", None), ("a", DataError("no rows")), ("b", None)):
        try:
            with open_run(name, mlruns=mlruns, tags={"x": "1"}) as run:
                run.log_parameters({"chosen_model": "bg_nbd", "seed": 1})
                run.log_metrics({"customers": 12.0, "holdout.total_error": 0.1})
                if failure is not None:
                    raise failure
                bundle = tmp_path / f"bundle-{run.run_id}"
                bundle.mkdir()
                (bundle / "model.json").write_text("{}")
                (bundle / "manifest.json").write_text('{"model_version": "1", "as_of": "2026-06-30"}')
                run.log_bundle(bundle)
                set_champion(name, run.run_id, mlruns=mlruns)
        except DataError:
            pass
    return mlruns


def test_the_database_and_mlflow_say_the_same(kept: Path) -> None:
    for name in (None, "a"):
        read, asked = list_runs(kept, name=name), _ask_mlflow(kept, name=name, limit=100)
        assert sorted(read, key=lambda run: run.run_id) == sorted(asked, key=lambda run: run.run_id)
        assert len(read) == (3 if name is None else 2)
    assert [run.status for run in list_runs(kept)].count("failed") == 1
    assert {run.name for run in list_runs(kept) if run.champion} == {"a", "b"}


def test_figures_of_channels_with_any_name_are_kept_each_under_its_own(mlruns: Path) -> None:
    names = ["http://x", "a/../b", "paid & social", "paid / social", "日本", "<b>", "y" * 400, "y" * 401]
    with open_run("named", mlruns=mlruns) as run:
        run.log_parameters({f"channels.{name}.origin": "firm" for name in names})
        run.log_metrics({f"credit.{name}": float(place) for place, name in enumerate(names)})
        data = run.client.get_run(run.run_id).data
    assert len(data.params) == len(names)
    assert sorted(data.metrics.values()) == [float(place) for place in range(len(names))]


def test_another_database_is_left_to_mlflow(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.registry._CHAMPIONS", "SELECT run FROM aliases WHERE x = ?")
    assert len(list_runs(kept)) == 3


def test_a_run_whose_process_was_killed_is_called_so_and_marked_by_the_next(kept: Path) -> None:
    code = "from experiments.processes import this_process; print(this_process())"
    dead = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    with open_run("a", mlruns=kept) as run:
        assert [r.status for r in list_runs(kept) if r.run_id == run.run_id] == ["running"]
        run.client.set_tag(run.run_id, PROCESS, dead.strip())
        (found,) = [r for r in list_runs(kept) if r.run_id == run.run_id]
        assert (found.status, found.failure) == ("killed", KILLED)
        with open_run("a", mlruns=kept):
            assert run.client.get_run(run.run_id).info.status == "KILLED"


def test_listing_runs_imports_no_mlflow(kept: Path) -> None:
    code = (
        "import sys; from experiments.registry import list_runs; from pathlib import Path; "
        "list_runs(Path(sys.argv[1])); sys.exit('mlflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(kept)], check=True)


def test_where_no_record_of_runs_lies_bundles_are_not_denied(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no record of runs is kept here.*--mlruns.*--bundle"):
        list_runs(tmp_path)
