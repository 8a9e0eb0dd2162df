"""What is public is what `tests/data/public_names.txt` holds, package by package; no more and no less."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HELD = {
    package: names.split()
    for package, names in (
        line.split(":") for line in (ROOT / "tests/data/public_names.txt").read_text().splitlines() if line
    )
}
TOP = ("histories", "clv", "attribution", "care", "reports", "experiments", "api", "tributary")
PACKAGES = sorted(
    ".".join(path.parent.relative_to(ROOT).parts) for top in TOP for path in (ROOT / top).rglob("__init__.py")
)
LAZY = {"annotations", "Any", "TYPE_CHECKING", "import_module"}


def test_every_line_is_about_a_package() -> None:
    assert set(HELD) <= set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_offers_what_its_line_says_and_nothing_without_one(name: str) -> None:
    package = importlib.import_module(name)
    offered = list(getattr(package, "__all__", []))
    assert sorted(offered) == sorted(HELD.get(name, []))
    for public in offered:  # some are imported when they are first asked for
        assert getattr(package, public) is not None


@pytest.mark.parametrize("name", PACKAGES)
def test_no_name_is_public_by_accident(name: str) -> None:
    package = importlib.import_module(name)
    values = {n: value for n, value in vars(package).items() if not n.startswith("_")}
    public = {n for n, value in values.items() if type(value).__name__ != "module"} - LAZY
    assert public <= set(HELD.get(name, []))
