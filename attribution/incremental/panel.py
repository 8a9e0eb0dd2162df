"""The customer-period panel, under the name by which the models of this package know it."""

from __future__ import annotations

from histories.panel import Panel
from histories.panels import build_panel

__all__ = ["Panel", "build_panel"]
