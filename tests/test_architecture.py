"""Who may import whom, read from the imports themselves."""

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("histories", "clv", "attribution", "care", "reports", "experiments", "api", "tributary")
ALLOWED = {
    "histories": set(),
    "clv": {"histories"},
    "attribution": {"histories"},
    "care": {"histories"},
    "reports": {"histories", "clv", "attribution", "care"},
    "experiments": {"histories", "clv", "attribution", "care", "reports"},
    "api": {"histories", "clv", "care", "reports", "experiments"},
    "tributary": set(OURS),
}
# Heavy or fragile packages, and the only places that may import them.
KEPT_IN = {
    "mlflow": (
        "experiments/tracking.py",
        "experiments/registry.py",
        "experiments/registering.py",
        "experiments/scoring_model.py",
    ),
    "lifetimes": ("clv/purchases/", "clv/spend.py"),
    "pandas": (
        "clv/purchases/",
        "clv/spend.py",
        "experiments/registering.py",
        "experiments/scoring_model.py",
    ),
    "fastapi": ("api/",),
    "starlette": ("api/",),
}
API_MAY_READ_OF_EXPERIMENTS = (
    "experiments.arrivals",
    "experiments.bundle",
    "experiments.champion",
    "experiments.comparing",
    "experiments.erasure",
    "experiments.filters",
    "experiments.lottery",
    "experiments.processes",
    "experiments.sampling",
    "experiments.segments",
    "experiments.tombstones",
)

# Floors inside attribution: who may import whom of its four rooms.
ROOMS = {
    "credits": set(),
    "paths": {"credits"},
    "effects": set(),
    "incremental": {"credits", "effects"},
}

# The same inside effects; what lies beside these rooms is the entry, its result, and the run of all designs.
ROOMS_OF_EFFECTS = {
    "estimators": set(),
    "data": {"estimators"},
    "designs": {"data", "estimators"},
}

LAZY = ("tributary/__init__.py", "histories/__init__.py", "api/__init__.py", "reports/__init__.py")

FILES = sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))


@cache
def imported(path: Path) -> tuple[str, ...]:
    return tuple(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def wrong_imports(files: list[Path], is_wrong: Callable[[str, str], bool]) -> list[str]:
    """What is imported where it must not be: the file and the module."""
    assert files
    return [
        f"{place(path)} imports {module}"
        for path in files
        for module in imported(path)
        if is_wrong(place(path), module)
    ]


def test_imports_follow_the_direction_of_the_story() -> None:
    def is_wrong(file: str, module: str) -> bool:
        package, top = file.split("/", maxsplit=1)[0], module.split(".", maxsplit=1)[0]
        return top in OURS and top != package and top not in ALLOWED[package]

    assert wrong_imports(FILES, is_wrong) == []


@pytest.mark.parametrize("room", ROOMS)
def test_the_rooms_of_attribution_stand_on_one_another_in_order(room: str) -> None:
    def is_wrong(file: str, module: str) -> bool:
        package, _, rest = module.partition(".")
        other = rest.split(".")[0]
        return package == "attribution" and other in ROOMS and other != room and other not in ROOMS[room]

    assert wrong_imports(sorted((ROOT / "attribution" / room).rglob("*.py")), is_wrong) == []


@pytest.mark.parametrize("room", ROOMS_OF_EFFECTS)
def test_the_rooms_of_effects_stand_on_one_another_in_order(room: str) -> None:
    def is_wrong(file: str, module: str) -> bool:
        inside = module.removeprefix("attribution.effects.").split(".")[0]
        others = ROOMS_OF_EFFECTS.keys() - {room} - ROOMS_OF_EFFECTS[room]
        return module.startswith("attribution.effects.") and inside in {*others, "run", "held"}

    assert wrong_imports(sorted((ROOT / "attribution/effects" / room).glob("*.py")), is_wrong) == []


def test_nothing_loose_lies_beside_the_rooms_of_attribution() -> None:
    loose = {path.name for path in (ROOT / "attribution").glob("*.py")}
    assert loose == {"__init__.py", "settings.py"}


@pytest.mark.parametrize("places", KEPT_IN.values(), ids=KEPT_IN)
def test_the_places_that_may_import_heavy_packages_exist(places: tuple[str, ...]) -> None:
    assert all((ROOT / name).exists() for name in places)


def test_heavy_packages_stay_where_they_belong() -> None:
    def is_wrong(file: str, module: str) -> bool:
        homes = KEPT_IN.get(module.split(".", maxsplit=1)[0])
        return homes is not None and not file.startswith(homes)

    assert wrong_imports(FILES, is_wrong) == []


def test_the_service_never_reads_the_registry() -> None:
    def is_wrong(file: str, module: str) -> bool:
        return module.startswith("experiments") and not module.startswith(API_MAY_READ_OF_EXPERIMENTS)

    assert wrong_imports(sorted((ROOT / "api").rglob("*.py")), is_wrong) == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("*/__init__.py")), ids=place)
def test_package_files_list_names_and_do_no_work(path: Path) -> None:
    if place(path).split("/")[0] not in OURS or place(path) in LAZY:
        return  # these import each name when it is first asked for
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_names = isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.List)
        assert is_docstring or is_names or isinstance(node, ast.ImportFrom), ast.unparse(node)


# Classes of one estimator, which nothing but its own package may ask for: the protocol says what any offers.
ESTIMATORS = {
    "HiddenChain": "chain/",
    "PanelRegression": "regression.py",
}
INCREMENTAL = ROOT / "attribution" / "incremental"


@pytest.mark.parametrize("path", sorted(INCREMENTAL.rglob("*.py")), ids=place)
def test_no_estimator_is_asked_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = path.relative_to(INCREMENTAL).as_posix()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        asked = ast.unparse(node)
        if node.func.id == "isinstance":
            classes = {name for name in ESTIMATORS if name in ast.unparse(node.args[1])}
            foreign = {name for name in classes if not own.startswith(ESTIMATORS[name])}
            assert not foreign, f"{place(path)}: {asked}"
        if node.func.id in ("getattr", "hasattr"):
            assert ast.unparse(node.args[0]) in ("self", "panel", "os"), f"{place(path)}: {asked}"
