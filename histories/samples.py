"""Where the CDNOW purchase log lies that the package lifetimes ships, so that it can be tried at once.

The data are Fader and Hardie's: purchases of 23,570 customers of the music shop CDNOW who bought first in the
first quarter of 1997, up to June 1998.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from histories.errors import ConfigError

__all__ = ["cdnow_path"]


def cdnow_path(part: Literal["master", "sample"] = "master") -> Path:
    """Path of the raw log: `master` all customers, `sample` the published systematic tenth.

    Columns without separator but blanks: customer (in the sample followed by a number of its own), date as
    YYYYMMDD, number of CDs, dollars.

    Raises
    ------
    ConfigError
        When lifetimes is not installed.

    >>> cdnow_path("sample").name
    'CDNOW_sample.txt'
    """
    if find_spec("lifetimes") is None:
        raise ConfigError("The CDNOW log ships with the package lifetimes, which is not installed.")
    folder = find_spec("lifetimes").submodule_search_locations  # type: ignore[union-attr]
    return Path(str(folder[0])) / "datasets" / f"CDNOW_{part}.txt"  # type: ignore[index]
