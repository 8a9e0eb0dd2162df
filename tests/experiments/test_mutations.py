"""Whatever the input, a run makes what can be made or refuses in words; what `check` passes, `run` makes."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from experiments.checks import check_run
from experiments.config import RunConfig, load_config
from experiments.inputs import read_inputs
from experiments.parts.histories import build_histories
from experiments.run import find
from experiments.understood import understand
from histories.errors import TributaryError
from histories.reading.ingest import ingest
from histories.reading.inputs import Inputs
from reports.build import build_context
from reports.sources import ReportSources
from tests.experiments.mutations import SETTINGS, TABLES, mutated, sick_companies
from tests.experiments.small import TREE, small_company

TABLES_OF = small_company()
COMPANIES = sick_companies()
CASES: dict[str, tuple[Mapping[str, str], tuple[str, ...]]] = {
    **{f"set {text[:60]}": (TABLES_OF, (text,)) for text in SETTINGS},
    **{
        f"{t}: {change} {value[:20]}": (mutated(TABLES_OF, t, change, value), ())
        for t, change, value in TABLES
    },
    **{name: (tables, ()) for name, tables in COMPANIES.items()},
}
NAMES = list(CASES)
RUN_HERE = {*NAMES[::27], *COMPANIES}
"""Cases that go through the whole run in every test; the others do so among the slow ones."""


@pytest.fixture(autouse=True, scope="module")
def read_once() -> Iterator[None]:
    """What was read from the same place by the same settings is not read again."""
    read: dict[str, Inputs] = {}

    def ingest_once(*tables: Any, **settings: Any) -> Inputs:
        asked = repr((tables, settings))
        if asked not in read:
            read[asked] = ingest(*tables, **settings)
        return read[asked]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.inputs.ingest", ingest_once)
        yield


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("unchanged")


@pytest.fixture
def folder(name: str, unchanged: Path, tmp_path: Path) -> Path:
    """A place of a case's own for tables that it changed."""
    return unchanged if CASES[name][0] is TABLES_OF else tmp_path


def loaded(folder: Path, tables: Mapping[str, str], overrides: tuple[str, ...]) -> RunConfig:
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    tree: dict[str, Any] = copy.deepcopy(TREE)
    inputs = "".join(f'inputs.{name} = "{name}.csv"\n' for name in tables)
    (folder / "small.toml").write_text(f"{_as_toml(tree)}{inputs}", encoding="utf-8")
    return load_config(folder / "small.toml", overrides=overrides)


def _as_toml(tree: Mapping[str, Any], prefix: str = "") -> str:
    """Dotted keys, one a line."""
    lines = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            lines.append(_as_toml(value, f"{prefix}{key}."))
        else:
            text = str(value).lower() if isinstance(value, bool) else repr(value)
            lines.append(f"{prefix}{key} = {text}\n")
    return "".join(lines)


def run(config: RunConfig) -> None:
    """Check, then everything but MLflow and the pictures; nothing may end in a fault."""
    inputs = read_inputs(config)
    understand(inputs).to_frame()
    check_run(config, inputs)
    found = find(config, build_histories(config, inputs))
    effects = found.tables.get("effects")
    reasons = [*found.left_out.values(), *found.notes, *(effects["reason"] if effects is not None else ())]
    faults = [reason for reason in reasons if reason and "unexpected" in reason]
    assert not faults
    sources = ReportSources(
        tables=found.tables,
        manifest={"left_out": found.left_out},
        model=found.model,
        pictures=found.pictures,
        settings=config.report,
        gross_margin=config.value.gross_margin,
    )
    assert not [note for note in build_context(sources).notes if "unexpected" in note]


def test_there_are_two_hundred_of_them() -> None:
    assert len(CASES) >= 200
    assert tomllib.loads(_as_toml(TREE)) == TREE


def passed(folder: Path, name: str, *further: str) -> RunConfig | None:
    """The configuration of a case when it passes the check; None when it is refused, in words."""
    tables, overrides = CASES[name]
    said = None
    try:
        config = loaded(folder, tables, (*further, *overrides))
        inputs = read_inputs(config)
        understand(inputs).to_frame()
        check_run(config, inputs)
    except TributaryError as refusal:
        said = str(refusal)
    if said is None:
        return config
    assert len(said) > 20
    assert all(line.isprintable() for line in said.splitlines())
    return None


@pytest.mark.parametrize("name", [name for name in NAMES if name not in RUN_HERE])
def test_every_input_is_checked_or_refused_in_words(folder: Path, name: str) -> None:
    passed(folder, name)


@pytest.mark.parametrize("name", sorted(RUN_HERE))
def test_what_is_checked_is_run(folder: Path, name: str) -> None:
    config = passed(folder, name)
    if config is not None:
        run(config)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_input_is_run_with_incremental_credit(folder: Path, name: str) -> None:
    credit = ('attribution.methods=["last", "incremental"]', "attribution.replicates=2")
    config = passed(folder, name, *credit)
    if config is not None:
        run(config)
