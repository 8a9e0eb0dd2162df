"""What is public is exactly what is listed."""

import importlib

import pytest

PACKAGES = ("histories", "clv", "attribution", "care", "reports", "experiments", "api")


@pytest.mark.parametrize("name", PACKAGES)
def test_every_listed_name_exists_once(name: str) -> None:
    package = importlib.import_module(name)
    listed = package.__all__
    assert len(set(listed)) == len(listed)
    for public in listed:
        assert getattr(package, public) is not None


@pytest.mark.parametrize("name", PACKAGES)
def test_no_name_is_public_by_accident(name: str) -> None:
    package = importlib.import_module(name)
    for public in package.__all__:
        getattr(package, public)  # some are imported when they are first asked for
    modules = {n for n, value in vars(package).items() if type(value).__name__ == "module"}
    public = (
        {n for n in vars(package) if not n.startswith("_")}
        - modules
        - {"annotations", "Any", "TYPE_CHECKING", "import_module"}
    )
    assert public == set(package.__all__)
