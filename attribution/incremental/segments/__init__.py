"""Credit by segment: the whole divided exactly, and a segment's own effects where segments differ."""
