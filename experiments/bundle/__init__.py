"""A run's bundle: a folder that stands alone, appears whole or not at all, and notices a changed byte."""

from experiments.bundle.reading import FORMAT_VERSION, Bundle, is_bundle, load_bundle, read_manifest
from experiments.bundle.tables import TABLES
from experiments.bundle.whole import write_bundle
from experiments.bundle.writing import seal_bundle

__all__ = [
    "FORMAT_VERSION",
    "TABLES",
    "Bundle",
    "is_bundle",
    "load_bundle",
    "read_manifest",
    "seal_bundle",
    "write_bundle",
]
