"""Examples of answers, made from their schemas: a field's own example, or the plainest value of its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["example_of"]

_FORMATS: Final = {"date": "2026-06-30", "date-time": "2026-06-30T12:00:00Z"}


def example_of(shape: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """A value that the schema allows.

    Parameters
    ----------
    shape
        A JSON schema of the kind that pydantic writes.
    schemas
        What its references lead to, by name.

    >>> shape = {"properties": {"n": {"type": "integer", "minimum": 1}, "day": {"examples": ["2026-06-30"]}}}
    >>> example_of({"type": "object", **shape}, {})
    {'n': 1, 'day': '2026-06-30'}
    """
    if "$ref" in shape:
        return example_of(schemas[shape["$ref"].rpartition("/")[2]], schemas)
    for given in ("example", "const", "default"):
        if shape.get(given) is not None:
            return shape[given]
    for several in ("examples", "enum"):
        if shape.get(several):
            return shape[several][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in shape:
            known = [option for option in shape[choice] if option.get("type") != "null"]
            return example_of(known[0], schemas) if known else None
    kind = shape.get("type", "object" if "properties" in shape else None)
    if kind == "object":
        return {name: example_of(part, schemas) for name, part in shape.get("properties", {}).items()}
    if kind == "array":
        return [example_of(shape["items"], schemas)] if "items" in shape else []
    if kind == "string":
        return _FORMATS.get(str(shape.get("format")), "text")
    if kind in ("integer", "number"):
        return shape.get("minimum", 1)
    return kind == "boolean" if kind == "boolean" else None
