"""What today's rows make of a bundle: customers, purchases, touchpoints, and what is told beside them.

Every customer whom the tables name is summarised from all his rows. One whose purchases are others than the
bundle's has *changed*, whether they came late, were corrected or were taken back.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import polars as pl

from clv.rescoring import Rescorer
from clv.revaluing import revalue_customers
from clv.summary import summarize_purchases
from experiments.arrivals import recent_orders
from experiments.bundle.reading import Bundle
from experiments.config import RunConfig
from experiments.consents import latest_consents, with_consents
from experiments.inputs import key_of_handles
from experiments.parts.histories import PURCHASES, TOUCHPOINTS, Histories
from experiments.parts.profiles import profiles_table
from experiments.parts.walking import Walking, told_purchases, told_touchpoints
from experiments.scoring import covariates_of, reasons_to_refit, since_fit
from experiments.tombstones import Tombstones, without_erased
from histories.errors import DataError
from histories.identity import identities_table
from histories.money import to_minor

_MOST_SHRUNK: Final = 0.5
"""Share of known customers who may have fewer purchases than before, in the days that the bundle knows."""

Rows = TypeVar("Rows", pl.DataFrame, pl.LazyFrame)


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """What today's rows make of a bundle.

    Attributes
    ----------
    tables, large
        Those that are of the new day.
    new, changed, late, gone
        Customers who bought for the first time; known ones whose purchases are others than before; those
        among them with others on days that the bundle knew already; those whose every purchase was taken
        back.
    refit
        Reasons to fit again; empty when there is none.
    """

    tables: Mapping[str, pl.DataFrame]
    large: Mapping[str, pl.LazyFrame]
    new: int
    changed: int
    late: int
    gone: int
    refit: tuple[str, ...]
    notes: tuple[str, ...]


def renew(
    bundle: Bundle,
    config: RunConfig,
    histories: Histories,
    *,
    erased: Tombstones,
    only_changed: bool = False,
) -> Renewed:
    """What today's histories make of a bundle without the `erased`; see `update_bundle`.

    Raises
    ------
    DataError
        When a history could not be made, the tables end before the bundle, or its customers lack rows.
    """
    for part, reason in histories.left_out.items():
        raise DataError(f"{part}: {reason}")
    end, since = histories.inputs.observation_end, as_of_day(bundle)
    if end < since:
        raise DataError(
            f"the tables end on {end}, and {bundle.path.name} knows everything up to {since}. Give tables "
            "that go as far, and set observation_end where the configuration does; or run again."
        )
    told = _told(config, histories)
    ids = told[PURCHASES].collect_schema()["customer_id"]
    ids = pl.String() if bundle.scan(PURCHASES).collect_schema()["customer_id"] == pl.String() else ids
    fresh = {name: without_erased(erased, with_ids(rows, ids)) for name, rows in told.items()}
    named, before = (
        without_erased(erased, rows.lazy()).collect()
        for rows in (_named(histories, ids), with_ids(bundle.table("customers"), ids))
    )
    known = before["customer_id"]
    scope = known.filter(known.is_in(named["customer_id"].implode())) if only_changed else known
    _check_present(scope, named, only_changed)
    old = {name: without_erased(erased, with_ids(bundle.scan(name), ids)) for name in fresh}
    moved = _moved(old[PURCHASES], fresh[PURCHASES], scope, since)
    if scope.len() and moved.shrunk > _MOST_SHRUNK * scope.len():
        raise DataError(
            f"{moved.shrunk:,} of {scope.len():,} known customers have fewer purchases up to {since} than in "
            f"{bundle.path.name}: the tables do not seem to hold all their rows. Give all rows of each "
            "customer, not today's alone."
        )
    if only_changed:
        fresh = {name: _merged(old[name], rows, named["customer_id"]) for name, rows in fresh.items()}
    purchases = fresh[PURCHASES].with_columns(to_minor(pl.col("amount", "margin")))
    unit = str(bundle.model["time_unit"])
    summary = summarize_purchases(purchases, observation_end=end, time_unit=unit).sort("customer_id")
    found = summary.collect()
    factor, aside = Rescorer.from_card(bundle.model).follow(
        found, purchases, as_of=end, **covariates_of(histories)
    )
    customers, notes = revalue_customers(
        found,
        before,
        factor=factor,
        card=bundle.model,
        settings=config.value,
        observation_end=end,
        customers=_acquisition(histories, before, ids),
        seed=config.seed,
    )
    return Renewed(
        tables={
            "customers": customers,
            **_beside(bundle, config, histories, named["customer_id"], only_changed),
        },
        large=fresh,
        new=customers.join(before, on="customer_id", how="anti").height,
        changed=moved.changed.len(),
        late=moved.late,
        gone=before.join(customers, on="customer_id", how="anti").height,
        refit=tuple(reasons_to_refit(bundle.model, since_fit(bundle.model, purchases, end), end)),
        notes=(*aside, *notes),
    )


def as_of_day(bundle: Bundle) -> dt.date:
    """The last day that a bundle knows."""
    return dt.date.fromisoformat(str(bundle.manifest["as_of"])[:10])


def with_ids(rows: Rows, ids: pl.DataType) -> Rows:
    """Rows with ids of this type, in the order that rows by customer need."""
    schema = rows.collect_schema()
    if schema.get("customer_id", ids) == ids:
        return rows
    return rows.with_columns(pl.col("customer_id").cast(ids)).sort("customer_id", maintain_order=True)


def _told(config: RunConfig, histories: Histories) -> dict[str, pl.LazyFrame]:
    """The bundle's purchases and touchpoints of all customers that the tables name, with their credit."""
    buckets = histories.buckets
    if PURCHASES not in buckets:
        raise DataError("there are no purchases to update from: give [inputs.transactions].")
    made = {PURCHASES: told_purchases}
    if TOUCHPOINTS in buckets:
        walking = Walking.of(config, observation_end=histories.inputs.observation_end, labels={})
        buckets = buckets.map(walking.credited)
        made[TOUCHPOINTS] = told_touchpoints
    return {name: buckets.map(make).gather(f"told.{name}") for name, make in made.items()}


def _named(histories: Histories, ids: pl.DataType) -> pl.DataFrame:
    """customer_id of everybody in the tables, once, and whether he has `transactions` at all."""
    tables = [
        rows.select(pl.col("customer_id").cast(ids), pl.lit(name == "transactions").alias("transactions"))
        for name in ("transactions", "touchpoints")
        if (rows := histories.table(name)) is not None
    ]
    rows = pl.concat(tables).filter(pl.col("customer_id").is_not_null())
    return rows.group_by("customer_id").agg(pl.col("transactions").any()).collect()


def _check_present(scope: pl.Series, named: pl.DataFrame, only_changed: bool) -> None:
    buyers = named.filter("transactions")["customer_id"]
    absent = scope.len() - int(scope.is_in(buyers.implode()).sum())
    if not absent:
        return
    if only_changed:
        raise DataError(
            f"{absent:,} customers of the bundle have touchpoints but no transactions in the tables. With "
            "--only-changed give every customer that a table names with all rows of both tables."
        )
    raise DataError(
        f"{absent:,} of {scope.len():,} customers of the bundle have no transactions in the tables. Give all "
        "rows of all customers; or, with --only-changed, all rows of those whose rows changed. Whoever was "
        "erased at the source is erased here by `tributary forget`."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moved:
    """Known customers whose purchases are others, how many of them in old days, how many with fewer."""

    changed: pl.Series
    late: int
    shrunk: int


def _moved(old: pl.LazyFrame, new: pl.LazyFrame, scope: pl.Series, since: dt.date) -> _Moved:
    before, now = (_prints(rows, scope, since) for rows in (old, new))
    both = before.join(now, on="customer_id", how="left", suffix="_now").with_columns(
        pl.col("rows_now", "early_now").fill_null(0)
    )
    differs = {
        name: pl.col(name).ne_missing(pl.col(f"{name}_now"))
        for name in ("rows", "print", "early", "of_early")
    }
    changed = both.filter(differs["rows"] | differs["print"])
    late = changed.filter(differs["early"] | differs["of_early"])
    return _Moved(
        changed=changed["customer_id"],
        late=late.height,
        shrunk=late.filter(pl.col("early_now") < pl.col("early")).height,
    )


def _prints(purchases: pl.LazyFrame, scope: pl.Series, since: dt.date) -> pl.DataFrame:
    """Number and fingerprint of each customer's purchases: of all, and of those up to `since`."""
    of_row = pl.struct("date", "amount", "margin").hash()
    early = pl.col("date") <= since
    rows = purchases.filter(pl.col("customer_id").is_in(scope.implode())).select(
        "customer_id", early.alias("is_early"), of_row.alias("of_row")
    )
    return (
        rows.group_by("customer_id")
        .agg(
            rows=pl.len(),
            print=pl.col("of_row").sum(),
            early=pl.col("is_early").sum(),
            of_early=pl.col("of_row").filter("is_early").sum(),
        )
        .collect()
    )


def _merged(old: pl.LazyFrame, fresh: pl.LazyFrame, named: pl.Series) -> pl.LazyFrame:
    """Rows of those whom the tables name, and the bundle's of everybody else, by customer and time."""
    carried = old.filter(pl.col("customer_id").is_in(named.implode()).not_())
    return carried.merge_sorted(fresh, key="customer_id")


def _acquisition(histories: Histories, before: pl.DataFrame, ids: pl.DataType) -> pl.DataFrame | None:
    """customer_id and acquisition_cost (minor units) of today's customers table, and of those not in it."""
    people = histories.customers
    if people is None:
        return None
    given = people.with_columns(pl.col("customer_id").cast(ids))
    if "acquisition_cost" not in given.columns:
        given = given.with_columns(pl.lit(None, dtype=pl.Int64).alias("acquisition_cost"))
    given = given.select("customer_id", "acquisition_cost")
    others = before.select("customer_id", to_minor(pl.col("acquisition_cost")))
    return pl.concat([given, others.join(given, on="customer_id", how="anti")])


def _beside(
    bundle: Bundle, config: RunConfig, histories: Histories, named: pl.Series, only_changed: bool
) -> dict[str, pl.DataFrame]:
    """Orders, profiles and identities of today, and with `only_changed` those of everybody else."""
    made: dict[str, pl.DataFrame] = {}
    transactions, people = histories.table("transactions"), histories.customers
    identities = histories.table("identities")
    if transactions is not None:
        made["orders"] = recent_orders(transactions, histories.inputs.observation_end)
    if people is not None:
        made["profiles"] = profiles_table(people)
    key = key_of_handles(config)
    if identities is not None and key is not None:
        made["identities"] = identities_table(identities, key, histories.inputs.observation_end)
    if not only_changed:
        return _with_consents(made, None, config, histories)
    for name, rows in made.items():
        ids = rows.schema["customer_id"] if named.dtype != pl.String() else pl.String()
        old, new = with_ids(bundle.table(name), ids), with_ids(rows, ids)
        who = named if name == "orders" else new["customer_id"]
        carried = old.filter(pl.col("customer_id").is_in(who.implode()).not_())
        together = [carried, new.select(c for c in old.columns if c in new.columns)]
        made[name] = pl.concat(together, how="diagonal_relaxed").sort(old.columns[:2])
    return _with_consents(made, bundle, config, histories)


def _with_consents(
    made: dict[str, pl.DataFrame], carried: Bundle | None, config: RunConfig, histories: Histories
) -> dict[str, pl.DataFrame]:
    """The same tables, profiles with what customers last consented to; of others what `carried` holds."""
    entries = histories.table("consents")
    if entries is None:
        return made
    profiles = made.get("profiles")
    if profiles is None and carried is not None:
        profiles = carried.table("profiles")
    consents = latest_consents(entries.collect(), config.purposes)
    return made | {"profiles": with_consents(profiles, consents, over=carried is not None)}
