"""Tables that a bundle's models cannot speak of are refused, in one sentence."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from experiments.bundle.reading import load_bundle
from experiments.config import parse_config
from experiments.run import run_experiment
from experiments.sweeping import grid
from histories.errors import ConfigError, TributaryError
from tests.experiments.small import TREE, merged, small_company
from tributary.cli import cli

TEXT = """
currency = "EUR"
observation_end = "2025-12-31"
[inputs]
transactions = "transactions.csv"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """The folder of a bundle, with the orders beside it."""
    folder = tmp_path_factory.mktemp("scoring")
    shutil.copytree(empty_store, folder / "mlruns")
    (folder / "transactions.csv").write_text(small_company(40)["transactions"])
    value = {"models": ["bg_nbd"]}
    tree: dict[str, Any] = {**merged(TREE, {"value": value}), "inputs": {"transactions": "transactions.csv"}}
    config = parse_config(tree, base_dir=folder)
    found = run_experiment(config, runs=folder / "runs", mlruns=folder / "mlruns").bundle
    (folder / "bundle").symlink_to(load_bundle(found).path)
    return folder


def asked(folder: Path, text: str, out: str = "scores.csv") -> Any:
    (folder / "new.toml").write_text(text)
    arguments = ["score", str(folder / "bundle"), str(folder / "new.toml"), "--out", str(folder / out)]
    return CliRunner().invoke(cli, arguments)


def test_the_run_s_own_tables_are_scored(made: Path) -> None:
    found = asked(made, TEXT)
    assert found.exit_code == 0, found.output
    assert "40 customers scored" in found.output


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"EUR"', '"USD"', "was made with currency = 'EUR', and the configuration says 'USD'"),
        ('currency = "EUR"', 'purchase_unit = "week"', "made with purchase_unit = 'day'"),
        ("2025-12-31", "2025-06-30", "the tables end on 2025-06-30, and the models of"),
        ('= "transactions.csv"', '= { path = "transactions.csv", zero_orders = "count" }', "zero_orders"),
    ],
)
def test_what_the_models_know_nothing_of_is_refused(made: Path, old: str, new: str, words: str) -> None:
    found = asked(made, TEXT.replace(old, new))
    assert isinstance(found.exception, TributaryError)
    assert words in str(found.exception)


def test_a_file_of_another_kind_is_refused_before_anything_is_read(made: Path) -> None:
    found = asked(made, TEXT.replace("transactions.csv", "none.csv"), out="scores.xlsx")
    assert 'scores.xlsx" ends neither in .csv nor in .parquet' in str(found.exception)


def test_pseudonyms_and_ids_as_they_are_do_not_mix(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIBUTARY_ID_KEY", "a key of pseudonyms that is long enough")
    assert "holds ids as they are" in str(asked(made, TEXT).exception)


def test_a_sweep_takes_each_setting_once_and_each_key_once() -> None:
    assert [setting.label for setting in grid(["seed=[1, 2, 1]"])] == ["seed=1", "seed=2"]
    with pytest.raises(ConfigError, match="--over seed is given twice"):
        grid(["seed=[1]", "seed=[2]"])
