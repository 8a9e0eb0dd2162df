"""Where the CDNOW purchase log lies that the package lifetimes ships, so that it can be tried at once.

The data are Fader and Hardie's: purchases of 23,570 customers of the music shop CDNOW who bought first in the
first quarter of 1997, up to June 1998.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from histories.reading.files import package_file


def cdnow_path(part: Literal["master", "sample"] = "master") -> Path:
    """Path of the raw log: `master` all customers, `sample` the published systematic tenth.

    Columns without separator but blanks: customer (in the sample followed by a number of its own), date as
    YYYYMMDD, number of CDs, dollars.

    >>> cdnow_path("sample").name
    'CDNOW_sample.txt'
    """
    return package_file(f"lifetimes/datasets/CDNOW_{part}.txt")
