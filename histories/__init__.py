"""Raw tables to checked tables to per-customer histories."""

from histories.errors import (
    BundleError,
    ConfigError,
    ConvergenceError,
    DataError,
    ModelError,
    SchemaError,
    TributaryError,
)
from histories.ingest import ingest
from histories.inputs import Ingested, Inputs
from histories.journeys import build_journeys, count_journeys, count_paths, journey_touches, paths_from_table
from histories.money import MONEY_SCALE
from histories.periods import DAYS_PER_MONTH, Split, split_calibration_holdout
from histories.purchases import build_purchases, count_unmatched_refunds
from histories.sources import Channel, Limits, TableSource
from histories.touchpoints import build_touchpoints, require_origins

__all__ = [
    "DAYS_PER_MONTH",
    "MONEY_SCALE",
    "BundleError",
    "Channel",
    "ConfigError",
    "ConvergenceError",
    "DataError",
    "Ingested",
    "Inputs",
    "Limits",
    "ModelError",
    "SchemaError",
    "Split",
    "TableSource",
    "TributaryError",
    "build_journeys",
    "build_purchases",
    "build_touchpoints",
    "count_journeys",
    "count_paths",
    "count_unmatched_refunds",
    "ingest",
    "journey_touches",
    "paths_from_table",
    "require_origins",
    "split_calibration_holdout",
]
