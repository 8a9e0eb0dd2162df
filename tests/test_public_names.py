"""One front door: these packages offer names, and no other does."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OFFERED = {
    "tributary": "BgNbd Client GammaGamma MbgNbd ParetoNbd credit credit_paths effect histories load plot "
    "read run simulate summarize value",
    "clv.purchases": "BgBb BgBbFit BgCnbd BgNbd FitReport Geometric GeometricFit MbgCnbd MbgNbd Observations "
    "ParetoNbd ParetoNbdFit PurchaseFit SarmanovNbd SarmanovNbdFit fit_from_dict fit_purchases",
    "attribution.incremental.chain": "HiddenChain HiddenChainFit Structure",
}
TOP = ("histories", "clv", "attribution", "care", "reports", "experiments", "api", "tributary")
PACKAGES = sorted(
    ".".join(path.parent.relative_to(ROOT).parts) for top in TOP for path in (ROOT / top).rglob("__init__.py")
)
LAZY = {"annotations", "Any", "TYPE_CHECKING", "import_module"}


def test_every_entry_is_about_a_package() -> None:
    assert set(OFFERED) <= set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_offers_its_names_and_nothing_by_accident(name: str) -> None:
    package = importlib.import_module(name)
    offered = list(getattr(package, "__all__", []))
    assert offered == OFFERED.get(name, "").split()
    for public in offered:  # some are imported when they are first asked for
        assert getattr(package, public) is not None
    values = {n: value for n, value in vars(package).items() if not n.startswith("_")}
    assert {n for n, value in values.items() if type(value).__name__ != "module"} - LAZY <= set(offered)
