"""The configuration reference, from the settings classes: every key, its type, default and meaning.

    python -m docs.prepare.reference > configuration.md

The site calls it when it is built, so the page cannot be older than the code.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo

from attribution.effects.design import EffectDesign, Treatment
from attribution.settings import AttributionSettings
from care.settings import CareSettings, Hours, NeedsReply, Promise, Question, Redirection
from clv.settings import ValueSettings
from experiments.config import RunConfig
from experiments.segments import Segment
from histories.reading.sources import Channel, IdentityLinks, Limits, TableSource
from reports.settings import ReportSettings

#: Where each class stands in a configuration file.
SECTIONS: tuple[tuple[str, type[Any], str], ...] = (
    ("Top level", RunConfig, "Keys before the first section."),
    ("[inputs.TABLE]", TableSource, "One entry for each input table; a bare path will do."),
    (
        "[channels]",
        Channel,
        'One entry for each channel, e.g. `forum = { group = "social", origin = "customer" }`.',
    ),
    ("[identity]", IdentityLinks, "How handles are linked to customers."),
    ("[value]", ValueSettings, "Customer value."),
    ("[attribution]", AttributionSettings, "Credit."),
    ("[[effects]]", EffectDesign, "One entry for each effect to be estimated."),
    ("[[effects]] treatment", Treatment, "What is done to the treated."),
    ("[care]", CareSettings, "Service figures."),
    ("[care.hours]", Hours, "When the desk is open."),
    ("[[care.promises]]", Promise, "One entry for each promise."),
    ("[care.needs_reply]", NeedsReply, "Which posts want an answer."),
    ("[[care.agenda]]", Question, "The learning agenda: one entry per question."),
    ("[care.redirection]", Redirection, "Customers who are sent elsewhere."),
    ("[[segments]]", Segment, "One entry for each named segment."),
    ("[report]", ReportSettings, "What the report shows."),
    ("[limits]", Limits, "When a run stops."),
)


def reference() -> str:
    """The page, in Markdown."""
    lines = [
        "# Configuration reference",
        "",
        "Every key of a configuration file (TOML), made from the settings classes. A key that is not here is "
        'refused, with the nearest right one. `extends = "base.toml"` takes another file\'s keys first; '
        "`--set section.key=value` overrides one. Paths are relative to the file that names them.",
    ]
    for title, kind, about in SECTIONS:
        lines += ["", f"## `{title}`" if title.startswith("[") else f"## {title}", "", about, ""]
        lines += ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
        meanings = described(kind)
        for field in dataclasses.fields(kind):
            if field.name == "base_dir":
                continue
            cells = (f"`{field.name}`", _type(kind, field), _default(field), meanings.get(field.name, ""))
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def described(kind: type[Any]) -> dict[str, str]:
    """What a class's docstring says of each key, from its section Attributes or Parameters.

    >>> described(ValueSettings)["horizon_months"]
    'How far ahead value is counted, in months of 30.4375 days.'
    """
    text = inspect.getdoc(kind) or ""
    found: dict[str, str] = {}
    for block in re.split(r"\n(?:Attributes|Parameters)\n-+\n", text)[1:]:
        names: list[str] = []
        for line in block.splitlines():
            if line and not line.startswith(" "):
                if set(line) <= {"-"}:
                    break
                names = [name.strip() for name in line.split(":")[0].split(",")]
            elif line.strip():
                for name in names:
                    found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return found


def _type(kind: type[Any], field: dataclasses.Field[Any]) -> str:
    """A type as a reader of TOML would say it."""
    hint = typing.get_type_hints(kind, include_extras=False).get(field.name, field.type)
    return _words(hint)


def _words(hint: Any) -> str:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin is typing.Annotated:
        return _words(inner[0])
    if origin in (tuple, list):
        return f"list of {_words(inner[0])}"
    if origin is dict:
        return f"table of {_words(inner[1])}"
    if inner:
        return " or ".join(_words(one) for one in inner if one is not type(None))
    plain = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    name = getattr(hint, "__name__", str(hint))
    return plain.get(hint, {"date": "date", "Path": "path"}.get(name, f"section ({name})"))


def _default(field: dataclasses.Field[Any]) -> str:
    """The default as TOML would write it."""
    value: Any = field.default
    if isinstance(value, FieldInfo):
        value = value.default_factory() if value.default_factory else value.default  # type: ignore[call-arg]
    if value is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if value is dataclasses.MISSING or repr(value) == "PydanticUndefined" or value is Ellipsis:
        return "required"
    if value is None or (isinstance(value, tuple | dict) and not value):
        return "none"
    if dataclasses.is_dataclass(value):
        return "see there"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return "`[" + ", ".join(f'"{one}"' for one in value) + "]`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def undescribed() -> Iterator[str]:
    """Keys of which no docstring says what they mean."""
    for title, kind, _ in SECTIONS:
        meanings = described(kind)
        for field in dataclasses.fields(kind):
            if field.name not in meanings and field.name != "base_dir":
                yield f"{title} {field.name}"


if __name__ == "__main__":
    print(reference(), end="")
