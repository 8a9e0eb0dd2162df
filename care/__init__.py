"""Posts to cases, service figures, staffing, returns."""

__all__: list[str] = []
