"""What is being served: an open bundle, and who is hidden from it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import orjson

from api.prediction import Predictor, read_predictor
from api.store import Store
from experiments.bundle.columns import Array
from experiments.bundle.reading import Bundle
from experiments.tombstones import Tombstones
from histories.identity import pseudonym

__all__ = ["Served"]


@dataclass(frozen=True, kw_only=True)
class Served:
    """One bundle, open; every answer is made from one of these and no other.

    Attributes
    ----------
    etag
        Entity tag of everything answered from the bundle: its digest, quoted.
    etag_header, version_header
        Header fields of every answer.
    tombstones, pending
        Who was erased, and whom of them the bundle still holds.
    context
        The fields that every answer carries: model_version, as_of, currency, time_unit, interval_level.
    id_key
        Key of the pseudonyms that the bundle holds in place of ids; None when it holds ids.
    cache
        Answers already rendered, by what was asked.
    """

    bundle: Bundle
    store: Store
    etag: str
    etag_header: tuple[bytes, bytes]
    version_header: tuple[bytes, bytes]
    tombstones: Tombstones
    pending: frozenset[bytes]
    context: dict[str, Any]
    loaded_at: dt.datetime
    id_key: bytes | None = None
    cache: dict[Any, bytes] = field(default_factory=dict)

    @classmethod
    def open(cls, bundle: Bundle, *, tombstones: Tombstones, id_key: bytes | None) -> Served:
        """Map the columns of a bundle.

        Raises
        ------
        BundleError
            When one of them cannot be opened.
        """
        etag = f'"{bundle.digest[:32]}"'
        keys = ("model_version", "as_of", "currency", "time_unit", "interval_level")
        return cls(
            bundle=bundle,
            store=Store(bundle),
            etag=etag,
            etag_header=(b"etag", etag.encode()),
            version_header=(b"x-model-version", bundle.model_version.encode("ascii", "backslashreplace")),
            tombstones=tombstones,
            pending=tombstones.pending(bundle.manifest["erasure"]),
            context={key: bundle.manifest.get(key) for key in keys},
            loaded_at=dt.datetime.now(dt.UTC),
            id_key=id_key if bundle.manifest["pseudonyms"] else None,
        )

    def knowing(self, tombstones: Tombstones) -> Served:
        """The same, with the customers on this list hidden."""
        if tombstones is self.tombstones:
            return self
        pending = tombstones.pending(self.bundle.manifest["erasure"])
        return replace(self, tombstones=tombstones, pending=pending, cache={})

    def stored_id(self, customer_id: str) -> str:
        """The id under which the bundle knows a customer: the pseudonym where it holds pseudonyms."""
        return customer_id if self.id_key is None else pseudonym(customer_id, self.id_key)

    def hides(self, stored_id: str) -> bool:
        """Whether the customer was erased but is still in the bundle's files."""
        return bool(self.pending) and self.tombstones.digest(stored_id) in self.pending

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
        """The fitted model, for customers who are not stored; None when the run has none."""
        return read_predictor(self.bundle)

    @property
    def has_predictor(self) -> bool:
        """Whether the model was read already."""
        return "predictor" in self.__dict__

    def load_predictor(self) -> Predictor | None:
        """Read the model; the first time in a process this imports the models, about a second."""
        return self.predictor

    def score(self, customer_id: str, row: int) -> bytes:
        """One customer's answer as JSON."""
        return orjson.dumps({"customer_id": customer_id, **self.store.score(row), **self.context})

    def rendered(self, asked: Any, render: Callable[[], Any]) -> bytes:
        """The answer as JSON bytes, made once for each different question."""
        found = self.cache.get(asked)
        if found is None:
            found = orjson.dumps(render(), option=orjson.OPT_SERIALIZE_NUMPY)
            if len(self.cache) < 512:
                self.cache[asked] = found
        return found
