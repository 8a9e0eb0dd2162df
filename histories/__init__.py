"""Raw tables to checked tables to per-customer histories.

A name is imported when it is first asked for: who needs the errors alone does not load the readers of tables.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from histories.engines.base import Buckets, Engine
    from histories.engines.local import Local
    from histories.engines.spilled import Spilled
    from histories.errors import (
        BundleError,
        ConfigError,
        ConvergenceError,
        DataError,
        ModelError,
        SchemaError,
        TributaryError,
    )
    from histories.identity import pseudonym
    from histories.journeys import count_paths, paths_from_table, walk_journeys
    from histories.purchases import (
        PURCHASES_SCHEMA,
        build_purchases,
        count_unmatched_refunds,
    )
    from histories.reading.ingest import ingest
    from histories.reading.inputs import Inputs
    from histories.reading.schemas import TABLES
    from histories.reading.sources import Channel, Limits, TableSource
    from histories.retention import (
        build_contract_periods,
        build_repeat_periods,
        count_gaps,
        lapse_window_days,
        walk_retention,
    )
    from histories.samples import cdnow_path
    from histories.tables import purchases_table, touchpoints_table
    from histories.timeline import JourneyWindow
    from histories.touchpoints import TOUCHPOINTS_SCHEMA, build_touchpoints, require_origins

__all__ = [
    "PURCHASES_SCHEMA",
    "TABLES",
    "TOUCHPOINTS_SCHEMA",
    "Buckets",
    "BundleError",
    "Channel",
    "ConfigError",
    "ConvergenceError",
    "DataError",
    "Engine",
    "Inputs",
    "JourneyWindow",
    "Limits",
    "Local",
    "ModelError",
    "SchemaError",
    "Spilled",
    "TableSource",
    "TributaryError",
    "build_contract_periods",
    "build_purchases",
    "build_repeat_periods",
    "build_touchpoints",
    "cdnow_path",
    "count_gaps",
    "count_paths",
    "count_unmatched_refunds",
    "ingest",
    "lapse_window_days",
    "paths_from_table",
    "pseudonym",
    "purchases_table",
    "require_origins",
    "touchpoints_table",
    "walk_journeys",
    "walk_retention",
]

_MODULES = (
    "histories.errors",
    "histories.engines.base",
    "histories.engines.local",
    "histories.engines.spilled",
    "histories.identity",
    "histories.journeys",
    "histories.purchases",
    "histories.reading.ingest",
    "histories.reading.inputs",
    "histories.reading.schemas",
    "histories.reading.sources",
    "histories.retention",
    "histories.samples",
    "histories.tables",
    "histories.timeline",
    "histories.touchpoints",
)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name in __all__:
        for module in map(import_module, _MODULES):
            if hasattr(module, name):
                globals()[name] = getattr(module, name)
                return globals()[name]
    raise AttributeError(f"histories has no {name!r}.")
