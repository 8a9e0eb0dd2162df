"""What is being served: an open bundle, and who is hidden from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import polars as pl

from api.prediction import Predictor, read_predictor
from api.problems import Problem
from api.store import Store
from care.tables import CASES_SCHEMA
from clv.reasons import company_factors
from experiments.bundle.columns import Array
from experiments.bundle.reading import Bundle
from experiments.bundle.tables import TABLES, conform_table
from experiments.champion import champion_signature
from experiments.filters import Filter
from experiments.segments import named_filters
from experiments.tombstones import Tombstones
from histories.identity import pseudonym

SMALL_TABLES: Final = tuple(name for name, table in TABLES.items() if table.small)
"""Tables without customers, which are kept in memory."""

REPORTS: Final = ("report.html", "report.pdf", "report.json")

_Look = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Served:
    """One bundle, open; every answer is made from one of these and no other.

    Attributes
    ----------
    etag
        Entity tag of everything answered from the bundle: its digest, and who is hidden, quoted.
    etag_header, version_header
        Header fields of every answer.
    tombstones, pending
        Who was erased, and whom of them the bundle still holds.
    context
        The fields that every answer carries: model_version, as_of, currency, time_unit, interval_level.
    id_key
        Key of the pseudonyms that the bundle holds in place of ids; None when it holds ids.
    open_cases
        Rows of the cases table whose customers wait, in memory.
    tables, files
        The small tables and the reports, in memory: answers that last as long as this value does.
    cache
        Answers already rendered, by what was asked.
    comparisons
        Differences from earlier promotions, the last few by what was asked.
    """

    bundle: Bundle
    store: Store
    etag: str
    etag_header: tuple[bytes, bytes]
    version_header: tuple[bytes, bytes]
    tombstones: Tombstones
    pending: frozenset[bytes]
    context: dict[str, Any]
    open_cases: pl.DataFrame
    tables: Mapping[str, pl.DataFrame]
    files: Mapping[str, bytes]
    looks: Mapping[Path, _Look]
    signature: tuple[str, int, int] | None
    id_key: bytes | None = None
    cache: dict[Any, bytes] = field(default_factory=dict)
    comparisons: dict[Any, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, bundle: Bundle, *, tombstones: Tombstones, id_key: bytes | None) -> Served:
        """Map the columns of a bundle.

        Raises
        ------
        BundleError
            When one of them cannot be opened.
        """
        signature = champion_signature(bundle.path)
        mapped = [bundle.path / name for name in bundle.manifest["checksums"] if name.startswith("serving/")]
        reports = {name: bundle.file(name) for name in REPORTS}
        pending = tombstones.pending(bundle.manifest["erasure"])
        etag = _tag(bundle, tombstones, pending)
        keys = ("model_version", "as_of", "currency", "time_unit", "interval_level")
        return cls(
            bundle=bundle,
            store=Store(bundle),
            etag=etag,
            etag_header=(b"etag", etag.encode()),
            version_header=(b"x-model-version", bundle.model_version.encode("ascii", "backslashreplace")),
            tombstones=tombstones,
            pending=pending,
            context={key: bundle.manifest.get(key) for key in keys},
            open_cases=_open_cases(bundle),
            tables={name: _table(bundle, name) for name in SMALL_TABLES},
            files={name: data for name, data in reports.items() if data is not None},
            looks={path: _look(path) for path in mapped},
            signature=signature,
            id_key=id_key if bundle.manifest["pseudonyms"] else None,
        )

    def knowing(self, tombstones: Tombstones) -> Served:
        """The same, with the customers on this list hidden."""
        if tombstones is self.tombstones:
            return self
        pending = tombstones.pending(self.bundle.manifest["erasure"])
        etag = _tag(self.bundle, tombstones, pending)
        return replace(
            self,
            tombstones=tombstones,
            pending=pending,
            etag=etag,
            etag_header=(b"etag", etag.encode()),
            cache={},
            comparisons={},
        )

    def changed_file(self) -> str | None:
        """A mapped file that was written over or taken away under our eyes; None when there is none.

        A folder that was exchanged whole is another bundle, whose files are not these.
        """
        if champion_signature(self.bundle.path) != self.signature:
            return None
        for path, look in self.looks.items():
            try:
                same = _look(path) == look
            except OSError:
                same = False
            if not same:
                return path.relative_to(self.bundle.path).as_posix()
        return None

    @cached_property
    def segments(self) -> dict[str, Filter]:
        """The named segments of the run, parsed."""
        return named_filters(self.bundle.manifest.get("segments", []))

    @cached_property
    def factors(self) -> tuple[float, ...] | None:
        """The company's factors of value; None where no customer has a value."""
        names = ("probability_alive", "expected_purchases", "expected_spend", "customer_lifetime_value")
        return company_factors(*(self.store.columns[name].values for name in names))

    @cached_property
    def hidden_rows(self) -> Array:
        """Rows of customers who were erased but are still in the bundle's files; shape (m,).

        Finding them takes about a second per million customers, and is needed until the bundle is rewritten.
        """
        if not self.pending:
            return np.zeros(0, dtype=np.int64)
        rows = [row for row in range(len(self.store)) if self.hides(self.store.customer_id(row))]
        return np.array(rows, dtype=np.int64)

    @cached_property
    def quotes_hidden(self) -> bool:
        """Whether the reports quote a customer who was erased: until the bundle is rewritten."""
        if not self.pending or not self.bundle.manifest["tables"].get("quotes"):
            return False
        quoted = self.bundle.scan("quotes").select(pl.col("customer_id").cast(pl.String)).collect()
        return any(self.hides(name) for name in quoted["customer_id"])

    def engaged(self, limit: int) -> list[dict[str, Any]]:
        """The first rows of the table `engagement`, without who was erased; none in bundles of old."""
        if "engagement" not in self.bundle.manifest["tables"]:
            return []
        rows = (
            self.bundle.scan("engagement").sort("rank_engaged", "customer_id").head(limit + len(self.pending))
        )
        shown = (
            row for row in rows.collect().iter_rows(named=True) if not self.hides(str(row["customer_id"]))
        )
        return list(islice(shown, limit))

    def stored_id(self, customer_id: str) -> str:
        """The id under which the bundle knows a customer: the pseudonym where it holds pseudonyms."""
        return customer_id if self.id_key is None else pseudonym(customer_id, self.id_key)

    def hides(self, stored_id: str) -> bool:
        """Whether the customer was erased but is still in the bundle's files."""
        return bool(self.pending) and self.tombstones.digest(stored_id) in self.pending

    @cached_property
    def _erased(self) -> frozenset[bytes]:
        return frozenset(self.tombstones.digests)

    def is_erased(self, stored_id: str) -> bool:
        """Whether the customer is on the list of the erased, whatever the bundle's files still hold."""
        return bool(self._erased) and self.tombstones.digest(stored_id) in self._erased

    def find(self, customer_id: str) -> int:
        """Row of a customer who may be shown, or -1."""
        if self.id_key is not None:
            customer_id = pseudonym(customer_id, self.id_key)
        return -1 if self.pending and self.hides(customer_id) else self.store.find(customer_id)

    def find_many(self, customer_ids: Sequence[str]) -> Array:
        """Rows of customers, -1 where unknown or erased; shape (n,)."""
        stored = customer_ids
        if self.id_key is not None:
            stored = [pseudonym(text, self.id_key) for text in customer_ids]
        rows = self.store.find_many(stored)
        if self.pending:
            rows[[self.hides(text) for text in stored]] = -1
        return rows

    @cached_property
    def predictor(self) -> Predictor | None:
        """The fitted model, for customers who are not stored or changed; None when the run has none."""
        return read_predictor(self.bundle, self.store)

    @property
    def has_predictor(self) -> bool:
        """Whether the model was read already."""
        return "predictor" in self.__dict__

    def load_predictor(self) -> Predictor | None:
        """Read the model; the first time in a process this imports the models, about a second."""
        return self.predictor

    def score(self, customer_id: str, row: int) -> bytes:
        """One customer's answer as JSON."""
        return orjson.dumps(
            {"customer_id": customer_id, **self.store.score(row), **self.context, "updates": 0}
        )

    def rendered(self, asked: Any, render: Callable[[], Any]) -> bytes:
        """The answer as JSON bytes, made once for each different question."""
        found = self.cache.get(asked)
        if found is None:
            found = orjson.dumps(render(), option=orjson.OPT_SERIALIZE_NUMPY)
            if len(self.cache) < 512:
                self.cache[asked] = found
        return found


def _open_cases(bundle: Bundle) -> pl.DataFrame:
    """Cases of customers who wait for a human; none in a bundle that was written before there were cases."""
    if "cases" not in bundle.manifest["tables"]:
        return pl.DataFrame(schema=CASES_SCHEMA)
    return bundle.scan("cases").filter(pl.col("status") == "open").collect()


def _tag(bundle: Bundle, tombstones: Tombstones, pending: frozenset[bytes]) -> str:
    """The entity tag: of the bundle, and of who is hidden from it, since that changes what is answered."""
    hidden = f"-{len(tombstones.digests)}" if pending else ""
    return f'"{bundle.digest[:32]}{hidden}"'


def _table(bundle: Bundle, name: str) -> pl.DataFrame:
    """A table; empty in a bundle that was written before there was such a one."""
    return bundle.table(name) if name in bundle.manifest["tables"] else conform_table(name, None)


def _look(path: Path) -> _Look:
    """What changes when a file is written over."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def served_of(scope: Any) -> Served:
    """What this request is answered from.

    Raises
    ------
    Problem
        When nothing valid is loaded yet.
    """
    served: Served | None = scope["served"]
    if served is None:
        raise Problem(
            name="not-ready",
            detail="No valid bundle was found so far. Run `tributary run`, or see /health/ready.",
            headers={"retry-after": "5"},
        )
    return served
