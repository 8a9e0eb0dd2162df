"""Which distribution and which code this is, and whether its packages are its own.

Our top-level names are plain words (`api`, `reports`, …) that other distributions use as well. Two of them in
one environment overwrite each other, file by file; that is told at once and by name.
"""

from __future__ import annotations

import subprocess
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from histories.errors import ConfigError

DISTRIBUTION: Final = "tributary-clv"
PACKAGES: Final = ("histories", "clv", "attribution", "care", "reports", "experiments", "api", "tributary")
_HOME: Final = Path(__file__).resolve().parents[1]


def version() -> str:
    """The installed version; "0" in a checkout that was never installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "0"


def refuse_foreign_packages() -> None:
    """Stop when a package of one of our names comes from elsewhere.

    Raises
    ------
    ConfigError
        Naming the package, where it was found, and the distribution that brought it where that is known.
    """
    for name in PACKAGES:
        spec = find_spec(name)
        places = [Path(place).resolve() for place in (spec.submodule_search_locations or ())] if spec else []
        if places and places[0] == _HOME / name:
            continue
        found = f"from {places[0]}" if places else "nowhere"
        others = metadata.packages_distributions().get(name, [])
        owner = ", ".join(sorted({other for other in others if other != DISTRIBUTION}))
        told = f' The distribution "{owner}" brings one of that name.' if owner else ""
        raise ConfigError(
            f'The package "{name}" is loaded {found}, not from {_HOME}.{told} Install {DISTRIBUTION} into an '
            f'environment of its own, or start from a folder that holds no "{name}".'
        )


def code_version() -> str:
    """The package's version, with the commit where the code lies in a checkout."""
    installed = version()
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return installed
    return f"{installed}+{commit}"
