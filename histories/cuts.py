"""How a row of a table says that it is not cut by segment, channel, team or period."""

from __future__ import annotations

from typing import Final

__all__ = ["ALL"]

ALL: Final = "(all)"
