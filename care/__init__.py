"""Posts to cases, service figures, staffing, returns."""
