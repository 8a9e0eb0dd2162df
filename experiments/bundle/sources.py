"""From a bundle to what its report, and every view of the explorer, is made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
import polars as pl
from pydantic import TypeAdapter

from clv.referrals import ENGAGEMENT_SCHEMA
from experiments.bundle.reading import Bundle
from experiments.bundle.tables import TABLES
from histories.errors import BundleError
from reports.settings import ReportSettings
from reports.sources import ReportSources

_SETTINGS: Final = TypeAdapter(ReportSettings)
_LARGE: Final[Mapping[str, tuple[str, ...]]] = {
    "customers": (
        "customer_id",
        "first_purchase",
        "frequency",
        "recency",
        "T",
        "probability_alive",
        "churn_probability",
        "customer_lifetime_value",
        "customer_lifetime_value_low",
        "customer_lifetime_value_high",
        "average_days_between_purchases",
        "decile",
    ),
    "purchases": ("customer_id", "timestamp", "date", "amount"),
    "engagement": tuple(ENGAGEMENT_SCHEMA),
    "cases": (
        "case_id",
        "customer_id",
        "channel",
        "topic",
        "needs_reply",
        "answered",
        "opened_at",
        "first_response_at",
        "csat",
        "sentiment_first",
        "sentiment_last",
    ),
}
"""Tables with a row for each customer, purchase or case, and the columns of them that anything draws from."""

_SMALL: Final = frozenset(name for name, table in TABLES.items() if table.small)


def drawn_rows(name: str, table: pl.LazyFrame) -> pl.DataFrame:
    """Of a large table what anything draws from: some columns, and of touchpoints their number by kind."""
    if name == "touchpoints":
        kinds = table.group_by("channel_group", "kind").agg(touches=pl.len())
        return kinds.sort("channel_group", "kind").collect(engine="streaming")
    have = table.collect_schema().names()
    return table.select(column for column in _LARGE.get(name, ()) if column in have).collect()


class BundleTables(Mapping[str, pl.DataFrame]):
    """A bundle's tables, read when they are asked for; small ones are kept, large ones are let go.

    Of touchpoints there is only how many there are by group and kind.

    Parameters
    ----------
    quotes
        Whether what customers wrote is among them.
    """

    def __init__(self, bundle: Bundle, *, quotes: bool = True) -> None:
        self._bundle = bundle
        names = bundle.manifest["tables"]
        drawn = {*_LARGE, *_SMALL, "touchpoints", *(["quotes"] if quotes else [])}
        self._names = [n for n in names if n in drawn]
        self._kept: dict[str, pl.DataFrame] = {}

    def __getitem__(self, name: str) -> pl.DataFrame:
        if name not in self._names:
            raise KeyError(name)
        if name in self._kept:
            return self._kept[name]
        if name == "touchpoints":
            return self._kept.setdefault(name, drawn_rows(name, self._bundle.scan(name)))
        if name in _LARGE:
            return drawn_rows(name, self._bundle.scan(name))
        return self._kept.setdefault(name, self._bundle.table(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


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


def report_sources(
    bundle: Bundle, previous: Mapping[str, Any] | None = None, *, quotes: bool = True
) -> ReportSources:
    """What the report of a bundle is made from, with what customers wrote or without `quotes`.

    Without `previous`, what the bundle's own report remembers of those before it is kept.
    """
    manifest = bundle.manifest
    configuration = manifest.get("configuration") or {}
    known = set(ReportSettings.__dataclass_fields__)
    settings = {key: value for key, value in (configuration.get("report") or {}).items() if key in known}
    return ReportSources(
        tables=BundleTables(bundle, quotes=quotes),
        manifest=manifest,
        model=bundle.model,
        pictures=bundle.pictures(),
        settings=_SETTINGS.validate_python(settings),
        gross_margin=(configuration.get("value") or {}).get("gross_margin"),
        previous=remembered(bundle) if previous is None else previous,
    )


def remembered(bundle: Bundle) -> dict[str, Any] | None:
    """The report before, as far as the bundle's own report tells of it."""
    own = kept_report(bundle, required=False) or {}
    as_of = str(bundle.manifest["as_of"])[:10]
    earlier = [m for m in own.get("measures", ()) if str(m.get("as_of", ""))[:10] < as_of]
    if not earlier:
        return None
    return {"as_of": max(str(m["as_of"]) for m in earlier), "measures": earlier}
