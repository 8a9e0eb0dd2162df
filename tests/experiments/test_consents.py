"""The latest entry about a purpose counts, and whoever does not consent is in no audience for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from api.changes import Earlier, changed_segment
from api.served import Served
from api.settings import Settings
from api.store import Store
from experiments.bundle.reading import Bundle, load_bundle
from experiments.checks import check_run
from experiments.config import parse_config
from experiments.consents import latest_consents, with_consents
from experiments.inputs import read_inputs
from experiments.run import run_experiment
from experiments.tombstones import load_tombstones
from experiments.updating import update_bundle
from histories.errors import ConfigError, DataError
from tests.experiments.small import TREE, merged, small_company
from tests.running import running
from tributary.cli import cli

HEADER = "customer_id,purpose,given,timestamp\n"
ENTRIES = (
    HEADER
    + "".join(f"{n},marketing,true,2025-01-0{n}\n" for n in range(1, 7))
    + "2,Marketing,false,2025-03-01\n"  # taken back
    + "3,marketing,false,2025-03-01\n3,marketing,true,2025-04-01\n"  # and given again
    + "4,marketing,false,2025-01-04\n"  # at the same instant
    + "5,marketing,false,2027-01-01\n"  # after the observation
    + "7,research,true,2025-01-01\n"
    + "2,marketing,true,2099-01-01\n8,marketing,true,2099-01-01\n"  # not yet: a slip of the year
)
SEGMENTS = [
    {"name": "mailing", "filter": "ge(frequency,0)", "purpose": "marketing"},
    {"name": "panel", "filter": "ge(frequency,0)", "purpose": "surveys"},
    {"name": "all", "filter": "ge(frequency,0)"},
    {"name": "half", "filter": 'and(segment("mailing"),lt(decile,99))'},
]


def _configure(folder: Path, entries: str = ENTRIES, **changes: Any) -> Any:
    tables = {name: small_company(40)[name] for name in ("transactions", "customers")}
    for name, text in (tables | {"consents": entries}).items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    inputs = {name: f"{name}.csv" for name in (*tables, "consents")}
    value = {"models": ["bg_nbd"], "posterior_draws": 50}
    tree = {**merged(TREE, {"value": value}), "inputs": inputs, "segments": SEGMENTS, **changes}
    return parse_config(tree, base_dir=folder)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Bundle:
    folder = tmp_path_factory.mktemp("consents")
    config = _configure(folder)
    mlruns = Path(shutil.copytree(empty_store, folder / "mlruns"))
    return load_bundle(run_experiment(config, runs=folder / "runs", mlruns=mlruns).bundle)


def _said(bundle: Bundle) -> dict[int, bool | None]:
    rows = bundle.table("profiles").filter(pl.col("customer_id") <= 8)
    return dict(rows.select("customer_id", "consent_marketing").iter_rows())


def test_the_latest_entry_counts_and_of_two_at_one_instant_the_one_that_takes_it_back(bundle: Bundle) -> None:
    expected = {1: True, 2: False, 3: True, 4: False, 5: False, 6: True, 7: None, 8: None}
    assert _said(bundle) == expected


def test_a_segment_with_a_purpose_leaves_out_and_counts_whoever_does_not_consent(bundle: Bundle) -> None:
    everybody = bundle.table("customers").height
    counted = {row["name"]: (row["customers"], row["without_consent"]) for row in bundle.manifest["segments"]}
    assert counted == {
        "mailing": (3, everybody - 3),
        "panel": (0, everybody),
        "all": (everybody, 0),
        "half": (3, 0),
    }


def test_the_service_lists_counts_and_exports_only_who_consents(bundle: Bundle) -> None:
    with running(Settings(bundle=bundle.path, access_log=False)) as service:
        asked = {"filter": 'segment("mailing")'}
        assert service.get("/v1/customers/count", params=asked).json()["customers"] == 3
        csv = service.get(
            "/v1/customers/export", params={**asked, "fields": "decile"}, headers={"accept": "text/csv"}
        )
        assert sorted(line.split(",")[0] for line in csv.text.split()[1:]) == ["1", "3", "6"]
        rows = service.get("/v1/segments").json()["segments"]
        told = {row["name"]: (row["purpose"], row["customers"]) for row in rows}
        assert told["mailing"] == ("marketing", 3)
        assert told["all"][0] is None


@pytest.mark.parametrize("only_changed", [False, True])
def test_a_consent_taken_back_since_the_run_counts_from_the_next_update_on(
    bundle: Bundle, tmp_path: Path, mlruns: Path, only_changed: bool
) -> None:
    entries = HEADER + "1,marketing,true,2025-01-01\n1,marketing,false,2026-02-01\n"
    config = _configure(tmp_path, entries if only_changed else ENTRIES + "1,marketing,false,2026-02-01\n")
    made = update_bundle(
        bundle.path, config, runs=tmp_path / "runs", mlruns=mlruns, only_changed=only_changed
    )
    updated = load_bundle(made.bundle)
    assert _said(updated)[1] is False
    mailing = updated.manifest["segments"][0]
    assert mailing["customers"] == (0 if only_changed else 2)  # everybody is named, and said nothing


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_consent_from_a_day_that_has_not_come_is_told_and_does_not_count_yet(
    tmp_path: Path, zone: str
) -> None:
    inputs = read_inputs(_configure(tmp_path, timezone=zone))
    told = [note for note in inputs.notes if note.startswith("consents")]
    assert told[0].startswith(
        "consents: entries that give consent from a day on that has not come: 2 (first: 2099-01-01)"
    )


def test_any_filter_may_name_a_purpose(bundle: Bundle, tmp_path: Path) -> None:
    with running(Settings(bundle=bundle.path, access_log=False)) as service:

        def count(**asked: str) -> Any:
            return service.get("/v1/customers/count", params=asked).json()

        assert count(purpose="Marketing", filter="ge(frequency,0)")["customers"] == 3
        assert count(purpose="research")["customers"] == 1
        (error,) = count(purpose="reserch")["errors"]
        assert error == {
            "at": "query.purpose",
            "detail": 'nobody was asked for consent to "reserch"; did you mean "research"?',
        }
    out = tmp_path / "who.csv"
    found = CliRunner().invoke(cli, ["export", str(bundle.path), "--out", str(out), "--purpose", "marketing"])
    assert found.exit_code == 0, found.output
    assert "3 customers" in found.output
    wrong = CliRunner().invoke(cli, ["export", str(bundle.path), "--out", str(out), "--purpose", "sales"])
    assert "nobody was asked for consent" in str(wrong.exception or wrong.output)


def test_whoever_takes_a_consent_back_leaves_the_segment(
    bundle: Bundle, tmp_path: Path, mlruns: Path
) -> None:
    config = _configure(tmp_path, ENTRIES + "1,marketing,false,2026-02-01\n8,marketing,true,2026-02-01\n")
    runs = bundle.path.parent
    made = update_bundle(bundle.path, config, runs=runs, mlruns=mlruns)
    served = Served.open(load_bundle(made.bundle), tombstones=load_tombstones(runs), id_key=None)
    moved = changed_segment(Earlier(bundle=bundle, store=Store(bundle)), served, "mailing")
    assert moved.rows() == [("1", "left"), ("8", "entered")]


def test_an_entry_that_cannot_be_read_stops_the_run_since_it_may_take_a_consent_back(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 of 15 rows have no readable given.* Mend the table\.$"):
        read_inputs(
            _configure(
                tmp_path, ENTRIES + "6,marketing,perhaps,2025-06-01\n", limits={"max_rejected_share": 0.5}
            )
        )


def test_a_purpose_without_consents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'"mailing": purpose = "marketing" needs \[inputs.consents\]'):
        parse_config({"segments": SEGMENTS[:1]}, base_dir=tmp_path)


def test_check_knows_the_columns_of_consents(tmp_path: Path) -> None:
    own = [{"name": "own", "filter": "eq(consent_research,true)"}]
    config = _configure(tmp_path, segments=own)
    check_run(config, read_inputs(config))
    wrong = _configure(tmp_path, segments=[{"name": "own", "filter": "eq(consent_sales,true)"}])
    with pytest.raises(ConfigError, match="no such column"):
        check_run(wrong, read_inputs(wrong))


def test_consents_hold_against_a_column_of_the_same_name_and_for_customers_without_a_profile() -> None:
    said = latest_consents(
        pl.DataFrame({"customer_id": [2], "purpose": ["mail"], "given": [False], "timestamp": [1]})
    )
    own = pl.DataFrame({"customer_id": [1], "region": ["n"], "consent_mail": [True]})
    assert with_consents(own, said).rows() == [(1, "n", None), (2, None, False)]
    assert with_consents(own, said, over=True).rows() == [(1, "n", True), (2, None, False)]
