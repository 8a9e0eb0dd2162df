"""Credit by segment: the whole divided exactly, and a segment's own effects where segments differ."""

from attribution.incremental.segments.table import segment_table

__all__ = ["segment_table"]
