"""Posts to cases, service figures, staffing, returns."""

from care.tables import CARE_SCHEMA, CASES_SCHEMA, ROI_SCHEMA

__all__ = ["CARE_SCHEMA", "CASES_SCHEMA", "ROI_SCHEMA"]
