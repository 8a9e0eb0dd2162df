"""Service figures and returns."""
