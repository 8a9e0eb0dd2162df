"""Service figures and returns: the tables that they fill."""

from care.tables import CARE_SCHEMA, ROI_SCHEMA

__all__ = ["CARE_SCHEMA", "ROI_SCHEMA"]
