"""From a bundle to what its report, and every view of the explorer, is made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from pydantic import TypeAdapter

from experiments.bundle.reading import Bundle
from experiments.bundle.tables import TABLES
from histories.errors import BundleError
from reports.settings import ReportSettings
from reports.sources import ReportSources

__all__ = ["kept_report", "report_sources"]

_SETTINGS: Final = TypeAdapter(ReportSettings)
_NOT_READ: Final = frozenset({"paths", "transitions", "removal_effects", "customer_credits"})
"""Tables that may be large and that no section draws from."""


def kept_report(bundle: Bundle, *, required: bool = False) -> dict[str, Any] | None:
    """A bundle's own `report.json` as plain values; None where it has none.

    Raises
    ------
    BundleError
        When it has none and is required to.
    """
    content = bundle.file("report.json")
    if content is None:
        if required:
            raise BundleError(
                f"{bundle.path.name} holds no report.json to compare with. Name another bundle."
            )
        return None
    return dict(orjson.loads(content))


def report_sources(bundle: Bundle, previous: Mapping[str, Any] | None = None) -> ReportSources:
    """What the report of a bundle is made from.

    Without `previous`, what the bundle's own report remembers of those before it is kept.
    """
    manifest = bundle.manifest
    configuration = manifest.get("configuration") or {}
    known = set(ReportSettings.__dataclass_fields__)
    settings = {key: value for key, value in (configuration.get("report") or {}).items() if key in known}
    names = [name for name in manifest["tables"] if name in TABLES and name not in _NOT_READ]
    return ReportSources(
        tables={name: bundle.table(name) for name in names},
        manifest=manifest,
        model=bundle.model,
        pictures=bundle.pictures(),
        settings=_SETTINGS.validate_python(settings),
        gross_margin=(configuration.get("value") or {}).get("gross_margin"),
        previous=_remembered(bundle) if previous is None else previous,
    )


def _remembered(bundle: Bundle) -> dict[str, Any] | None:
    """The report before, as far as the bundle's own report tells of it."""
    own = kept_report(bundle, required=False) or {}
    as_of = str(bundle.manifest["as_of"])[:10]
    earlier = [m for m in own.get("measures", ()) if str(m.get("as_of", ""))[:10] < as_of]
    if not earlier:
        return None
    return {"as_of": max(str(m["as_of"]) for m in earlier), "measures": earlier}
