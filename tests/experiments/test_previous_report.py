"""Which report a run compares its own with: the one named, else the one served under the same name."""

from pathlib import Path

import orjson
import pytest

from experiments.bundle.reading import load_bundle
from experiments.champion import promote_bundle
from experiments.config import parse_config
from experiments.report import previous_report, redraw_report
from histories.errors import BundleError, ConfigError
from tests.browser.conftest import write_company
from tests.reports.company import PREVIOUS


def config(tmp_path: Path, name: str = "acme", previous: str | None = None) -> object:
    report = {} if previous is None else {"previous": previous}
    return parse_config({"name": name, "report": report}, base_dir=tmp_path)


def test_the_served_bundle_of_the_same_name_is_the_report_before(tmp_path: Path) -> None:
    bundle = write_company(tmp_path / "runs" / "one", files={"report.json": orjson.dumps(PREVIOUS)})
    runs = tmp_path / "runs"
    assert previous_report(config(tmp_path), runs) is None  # type: ignore[arg-type]
    promote_bundle(runs, bundle, "test")
    found = previous_report(config(tmp_path), runs)  # type: ignore[arg-type]
    assert found is not None
    assert found["as_of"] == "2026-03-31"
    assert previous_report(config(tmp_path, name="other"), runs) is None  # type: ignore[arg-type]


def test_a_bundle_that_is_named_comes_first_and_must_hold_a_report(tmp_path: Path) -> None:
    write_company(tmp_path / "empty")
    write_company(tmp_path / "full", files={"report.json": orjson.dumps(PREVIOUS)})
    found = previous_report(config(tmp_path, previous="full"), tmp_path)  # type: ignore[arg-type]
    assert found is not None
    with pytest.raises(BundleError, match="holds no report"):
        previous_report(config(tmp_path, previous="empty"), tmp_path)  # type: ignore[arg-type]


def test_a_report_is_drawn_again_with_another_before_it(tmp_path: Path) -> None:
    bundle = load_bundle(write_company(tmp_path / "now"))
    before = write_company(tmp_path / "before", files={"report.json": orjson.dumps(PREVIOUS)})
    plain, html = redraw_report(bundle, formats=["json", "html"], folder=tmp_path / "out")
    assert b"What changed since" not in html.read_bytes()
    assert orjson.loads(plain.read_bytes())["format_version"] == 2
    (html,) = redraw_report(bundle, formats=["html"], folder=tmp_path / "out", previous=before)
    assert b"What changed since" in html.read_bytes()
    with pytest.raises(ConfigError, match='unknown report format "doc"'):
        redraw_report(bundle, formats=["doc"], folder=tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.json"]
