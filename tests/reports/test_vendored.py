"""What is carried from others is what it was when it was checked, and our own pages ask nothing of others."""

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LISTED = tomllib.loads((ROOT / "reports" / "static" / "VENDORED.toml").read_text(encoding="utf-8"))
FILES = [file for package in LISTED["package"] for file in package["files"]] + LISTED["font"]
OWN = sorted(
    path
    for folder in ("reports/templates", "reports/static", "api/explore/templates", "api/explore/static")
    for path in (ROOT / folder).iterdir()
    if path.suffix in (".jinja", ".css", ".js") and path.name != "htmx.min.js"
)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file["to"])
def test_a_vendored_file_has_its_checksum(file: dict[str, str]) -> None:
    assert hashlib.sha256((ROOT / file["to"]).read_bytes()).hexdigest() == file["sha256"]


def test_every_package_ships_its_licence() -> None:
    for package in LISTED["package"]:
        assert any(file["to"].startswith("LICENSES/") for file in package["files"]), package["name"]
    carried = {file["to"] for file in FILES}
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "LICENSES").iterdir()} <= carried


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_no_page_style_or_script_names_another_place(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"(https?:)?//[a-z]", text), path.name
