"""Service figures and returns."""

from care.tables import CARE_SCHEMA, ROI_SCHEMA

__all__ = ["CARE_SCHEMA", "ROI_SCHEMA"]
