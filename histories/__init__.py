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
from histories.identity import pseudonym
from histories.journeys import (
    JourneyCounts,
    JourneyWalk,
    build_journeys,
    count_journeys,
    count_paths,
    journey_touches,
    paths_from_table,
    walk_journeys,
)
from histories.money import MONEY_SCALE, to_currency, to_minor
from histories.partitions import by_partition, partition_by_customer
from histories.periods import DAYS_PER_MONTH, Split, split_calibration_holdout
from histories.purchases import PURCHASES_SCHEMA, UnmatchedRefunds, build_purchases, count_unmatched_refunds
from histories.reading.ingest import ingest
from histories.reading.inputs import Ingested, Inputs
from histories.reading.schemas import TABLES
from histories.reading.sources import Channel, Limits, TableSource, table_source
from histories.retention import (
    build_contract_periods,
    build_repeat_periods,
    count_gaps,
    lapse_window_days,
    walk_retention,
)
from histories.samples import cdnow_path
from histories.tables import number_touches, purchases_table, touchpoints_table
from histories.touchpoints import TOUCHPOINTS_SCHEMA, build_touchpoints, require_origins

__all__ = [
    "DAYS_PER_MONTH",
    "MONEY_SCALE",
    "PURCHASES_SCHEMA",
    "TABLES",
    "TOUCHPOINTS_SCHEMA",
    "BundleError",
    "Channel",
    "ConfigError",
    "ConvergenceError",
    "DataError",
    "Ingested",
    "Inputs",
    "JourneyCounts",
    "JourneyWalk",
    "Limits",
    "ModelError",
    "SchemaError",
    "Split",
    "TableSource",
    "TributaryError",
    "UnmatchedRefunds",
    "build_contract_periods",
    "build_journeys",
    "build_purchases",
    "build_repeat_periods",
    "build_touchpoints",
    "by_partition",
    "cdnow_path",
    "count_gaps",
    "count_journeys",
    "count_paths",
    "count_unmatched_refunds",
    "ingest",
    "journey_touches",
    "lapse_window_days",
    "number_touches",
    "partition_by_customer",
    "paths_from_table",
    "pseudonym",
    "purchases_table",
    "require_origins",
    "split_calibration_holdout",
    "table_source",
    "to_currency",
    "to_minor",
    "touchpoints_table",
    "walk_journeys",
    "walk_retention",
]
