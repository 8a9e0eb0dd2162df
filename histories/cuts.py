"""How a row of a table says by what it is cut, or that it is not."""

from __future__ import annotations

from typing import Final

ALL: Final = "(all)"

CROSS: Final = " x "
"""Between two columns of a segment, and between their values: `care_user x spend: user x up to 32.4`."""
