"""The configuration's manual: what it accepts, and what it says to everything else."""

import datetime as dt
from pathlib import Path

import pytest

from experiments.config import RunConfig, load_config, parse_config
from histories.errors import ConfigError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_file_is_a_whole_configuration_named_after_it(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, ""))
    assert config.name == "acme"
    assert config.base_dir == tmp_path.resolve()
    assert (config.time_unit, config.purchase_unit, config.timezone) == ("week", "day", "UTC")


def test_a_bare_path_is_a_table_source() -> None:
    config = parse_config({"inputs": {"transactions": "orders/*.parquet"}})
    assert [source.path for source in config.inputs["transactions"]] == ["orders/*.parquet"]


def test_dates_are_dates() -> None:
    config = parse_config({"observation_end": dt.date(2026, 6, 30)})
    assert config.observation_end == dt.date(2026, 6, 30)


def test_overrides_are_read_as_toml_or_as_text(tmp_path: Path) -> None:
    path = write(tmp_path, "[value]\nhorizon_months = 12\n")
    config = load_config(path, overrides=["value.horizon_months=24", "timezone=Europe/Berlin"])
    assert config.value.horizon_months == 24
    assert config.timezone == "Europe/Berlin"


def test_a_configuration_survives_being_written_down() -> None:
    tree = {"seed": 7, "channels": {"forum": {"group": "social", "origin": "customer"}}}
    config = parse_config(tree)
    assert parse_config(config.to_dict()) == config


def test_the_written_form_does_not_hold_the_machine_path(tmp_path: Path) -> None:
    assert "base_dir" not in load_config(write(tmp_path, "")).to_dict()


REFUSALS = [
    ("calibration_en = 2025-12-31", 'unknown key "calibration_en"; did you mean "calibration_end"?'),
    (
        '[value]\ntime_unit = "day"',
        '"time_unit" is a key of the whole file: write it above the first [section]',
    ),
    ('models = ["bg_nbd"]', 'unknown key "models"; it is a key of [value]'),
    ("[value]\nhorizon_month = 3", 'unknown key "value.horizon_month"; did you mean "horizon_months"?'),
    ('[inputs]\ntransaction = "x"', 'unknown table "inputs.transaction"; did you mean "transactions"?'),
    (
        '[inputs.touchpoints]\npath = "x"\nseperator = ","',
        'unknown key "inputs.touchpoints.seperator"; did you mean "separator"?',
    ),
    (
        'channels = { forum = { orign = "customer" } }',
        'unknown key "channels.forum.orign"; did you mean "origin"?',
    ),
    ('timezone = "Europe/Londn"', '"timezone" is "Europe/Londn"; not a time zone name'),
    (
        '[inputs.transactions]\npath = "o.csv"\ndecimal = ";"',
        "\"inputs.transactions.decimal\" is \";\"; allowed: '.' or ','.",
    ),
    ('time_unit = "month"', "\"time_unit\" is \"month\"; allowed: 'day' or 'week'."),
    ("observation_end = 2026-01-01\ncalibration_end = 2026-01-01", "must lie before observation_end"),
    ("[value]\ninterval = 1.5", '"value.interval" is 1.5; input should be less than 1.'),
    ('[value]\nmodels = ["bgnbd"]', 'unknown purchase model "bgnbd"; did you mean "bg_nbd"'),
    ("name = ", "not valid TOML"),
    ('base_dir = "/tmp"', 'unknown key "base_dir"'),
]


@pytest.mark.parametrize(("text", "message"), REFUSALS)
def test_what_is_wrong_is_named_with_what_is_allowed(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_config(write(tmp_path, text))
    assert message in str(refusal.value)
    assert str(refusal.value).startswith(str(tmp_path))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_config(write(tmp_path, 'timezone = "Nowhere"\nsed = 3\n'))
    assert str(refusal.value).count("\n") == 1


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load_config(tmp_path / "absent.toml")


@pytest.mark.parametrize("override", ["nonsense", "=3", "name.first=3"])
def test_an_override_must_name_a_key(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        load_config(write(tmp_path, 'name = "acme"'), overrides=[override])


def test_configurations_are_values() -> None:
    assert parse_config({"seed": 3}) == parse_config({"seed": 3}) != RunConfig()
