"""Which distribution and which code this is, and whether its packages are its own.

Our top-level names are plain words (`api`, `reports`, …) that other distributions use as well. Two of them in
one environment overwrite each other, file by file; that is told at once and by name.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
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


def refuse_unreadable_names(names: Iterable[str], encoding: str | None = None) -> None:
    """Stop when names of files are not plain letters and Python reads names otherwise than as UTF-8.

    Polars and MLflow take names for UTF-8 whatever the locale says, so they could not open such a file.

    Raises
    ------
    ConfigError
        Naming the encoding and the settings that it follows from.
    """
    encoding = encoding or sys.getfilesystemencoding()
    if encoding.replace("-", "").lower() == "utf8" or all(name.isascii() for name in names):
        return
    settings = {name: os.environ.get(name) for name in ("PYTHONUTF8", "LC_ALL", "LC_CTYPE", "LANG")}
    told = ", ".join(f"{name}={value}" for name, value in settings.items() if value)
    raise ConfigError(
        "The command line, or the folder this starts in, has letters beyond ASCII, and Python reads names of "
        f"files as {encoding} here ({told or 'no locale is set'}). Set PYTHONUTF8=1, or a locale in "
        "UTF-8 such as LC_ALL=C.UTF-8; or give a path of plain letters."
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
