"""Index dates: when the clock of each customer starts, and who was treated by the landmark.

Against `slower` and `unanswered` every index date is the opening of a problem, so that both groups have one.
Against `no_contact` the treated start at their contact, and the others get pseudo-index dates: for each
treated customer, draws among those at risk on that very day without such a contact before the landmark.
Customers who are contacted later are at risk until then; leaving them out would look into the future.
Against `reactive`, contacts that the brand began are held against those that customers began.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.effects.data.history import Events, History, build_events
from attribution.effects.data.tables import EffectTables
from attribution.effects.design import EffectDesign
from histories.arrays import Flags, Integer
from histories.errors import DataError
from histories.money import MONEY_SCALE

_DRAWS = 30
"""Rounds of rejection sampling before a treated customer goes with fewer controls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexDates:
    """One row per customer and index date.

    Attributes
    ----------
    customers : shape (N,)
        Numbers of customers; a customer may be a control before being treated.
    day : shape (N,)
        Index day, days since 1970-01-01.
    treated : shape (N,)
    cost : shape (N,)
        Recorded cost of the treatment, in currency; NaN where unknown.
    opening
        What was known when the case was opened, one row per row here; None without cases.
    refusal
        Why the comparison proves nothing, whatever comes out; None otherwise.
    """

    customers: Integer
    day: Integer
    treated: Flags
    cost: NDArray[np.float64]
    opening: pl.DataFrame | None = None
    refusal: str | None = None


def find_index_dates(
    design: EffectDesign, history: History, tables: EffectTables, rng: np.random.Generator
) -> IndexDates:
    """Index dates of both groups of a landmark design.

    Raises
    ------
    DataError
        When the tables that the control needs are missing, or a group is empty.
    """
    if design.control == "no_contact":
        return _contacts_against_risk_set(design, history, tables, rng)
    if design.control == "reactive":
        return _proactive_against_reactive(design, history, tables)
    if tables.cases is not None and "customer_id" in tables.cases.collect_schema().names():
        return _cases_by_answer(design, history, tables)
    if design.control == "slower":
        raise DataError(f'effect "{design.name}": control = "slower" needs cases with customer_id')
    return _contacts_by_reply(design, history, tables)


def matching_contacts(design: EffectDesign, tables: EffectTables) -> pl.LazyFrame:
    """Contacts that the design's filters select; views are not contacts.

    Against `reactive`, those that the brand began and those that customers began.
    """
    if tables.touchpoints is None:
        raise DataError(f'effect "{design.name}": needs inputs.touchpoints')
    columns = set(tables.touchpoints.collect_schema().names())
    frame = tables.touchpoints
    if "view" in columns:
        frame = frame.filter(~pl.col("view").fill_null(value=False))
    wanted = design.treatment
    for column, value in (
        ("channel_group", wanted.group),
        ("channel", wanted.channel),
        ("kind", wanted.kind),
        ("direction", wanted.direction),
        ("proactive", None if design.control == "reactive" else wanted.proactive),
        ("campaign", wanted.campaign),
    ):
        if value is None:
            continue
        if column not in columns:
            raise DataError(f'effect "{design.name}": touchpoints have no {column} to select by')
        frame = frame.filter(pl.col(column) == value)
    return frame


def _cases_by_answer(design: EffectDesign, history: History, tables: EffectTables) -> IndexDates:
    """Cases answered in time against cases answered later, or not at all; each customer's first one."""
    assert tables.cases is not None
    cases = _numbered_cases(design, history, tables)
    limit = design.treatment.first_response_minutes
    on_clock = pl.col("minutes").is_not_null()
    answered = on_clock & (pl.col("calendar_minutes") <= design.landmark_days * 1440)
    in_time = answered if limit is None else answered & (pl.col("minutes") <= limit)
    if design.control == "slower":
        compared = cases.filter(answered)
    else:
        compared = cases.filter(in_time | pl.col("calendar_minutes").is_null())
    compared = compared.with_columns(in_time.alias("treated"))
    rows = _first_eligible(compared, design, history)
    index = IndexDates(
        customers=rows["customer"].to_numpy(),
        day=rows["day"].to_numpy(),
        treated=rows["treated"].to_numpy(),
        cost=np.full(rows.height, np.nan),
        opening=rows,
    )
    if design.control == "unanswered":
        return _with_unanswered_gate(index)
    return index


def _numbered_cases(design: EffectDesign, history: History, tables: EffectTables) -> pl.DataFrame:
    """Cases of the design's channel or group with customer, day, minutes to the first answer on its clock."""
    assert tables.cases is not None
    cases = tables.cases.filter(pl.col("customer_id").is_not_null())
    if design.treatment.channel is not None:
        cases = cases.filter(pl.col("channel") == design.treatment.channel)
    if design.treatment.group is not None:
        cases = cases.filter(pl.col("channel").is_in(channels_of(design.treatment.group, tables)))
    columns = set(cases.collect_schema().names())
    if "needs_reply" in columns:
        cases = cases.filter(pl.col("needs_reply").fill_null(True))
    if "first_response_at" not in columns:
        raise DataError(f'effect "{design.name}": needs cases.first_response_at')
    if design.clock == "business" and "first_response_business_minutes" not in columns:
        raise DataError(
            f'effect "{design.name}": clock = "business" needs [care.hours], when the desk is open; or use '
            '"calendar"'
        )
    calendar = (pl.col("first_response_at") - pl.col("opened_at")).dt.total_seconds() / 60
    minutes = pl.col("first_response_business_minutes") if design.clock == "business" else calendar
    frame = cases.with_columns(
        minutes.cast(pl.Float64).alias("minutes"),
        calendar.alias("calendar_minutes"),
        pl.col("opened_at").dt.date().cast(pl.Int32).cast(pl.Int64).alias("day"),
    ).collect()
    return history.number(frame).sort("customer", "opened_at")


def channels_of(group: str, tables: EffectTables) -> list[str]:
    """The channels of a group, as the touchpoints have them; the group's own name without touchpoints."""
    if tables.touchpoints is None:
        return [group]
    pairs = tables.touchpoints.filter(pl.col("channel_group") == group).select("channel").unique().collect()
    return sorted({*pairs["channel"].to_list(), group})


def _first_eligible(cases: pl.DataFrame, design: EffectDesign, history: History) -> pl.DataFrame:
    """Each customer's first case after the washout, at risk, and with a whole follow-up."""
    rows = cases.with_columns((pl.col("day") - pl.col("day").shift(1).over("customer")).alias("gap")).filter(
        pl.col("gap").is_null() | (pl.col("gap") >= design.washout_days)
    )
    keep = _followed(design, history, rows["customer"].to_numpy(), rows["day"].to_numpy())
    return rows.filter(pl.Series(keep)).unique("customer", keep="first", maintain_order=True)


def _followed(design: EffectDesign, history: History, customers: Integer, day: Integer) -> Flags:
    """At risk on the day, still there at the landmark, and followed to the end."""
    last = day + design.landmark_days + design.follow_up_days
    here = history.ended[customers] > day + design.landmark_days
    return np.asarray(history.at_risk(customers, day, design.at_risk_days) & here & (last <= history.end))


def _with_unanswered_gate(index: IndexDates) -> IndexDates:
    """The index dates, refused when nearly every problem was answered."""
    share = float(index.treated.mean()) if len(index.treated) else 1.0
    if share <= 0.98 and (~index.treated).sum() >= 20:
        return index
    return replace(index, refusal=f"no unanswered problems to compare: {share:.0%} of them were answered")


def _contacts_by_reply(design: EffectDesign, history: History, tables: EffectTables) -> IndexDates:
    """Inbound contacts that were replied to against those that were not, where there are no cases."""
    contacts = matching_contacts(design, tables)
    if "replied" not in contacts.collect_schema().names():
        raise DataError(f'effect "{design.name}": control = "unanswered" needs cases or replies')
    frame = contacts.filter(pl.col("replied").is_not_null()).select(
        "customer_id",
        pl.col("timestamp").alias("opened_at"),
        pl.col("timestamp").dt.date().cast(pl.Int32).cast(pl.Int64).alias("day"),
        pl.col("replied").alias("treated"),
    )
    rows = _first_eligible(history.number(frame.collect()).sort("customer", "opened_at"), design, history)
    return _with_unanswered_gate(
        IndexDates(
            customers=rows["customer"].to_numpy(),
            day=rows["day"].to_numpy(),
            treated=rows["treated"].to_numpy(),
            cost=np.full(rows.height, np.nan),
        )
    )


def _contacts_against_risk_set(
    design: EffectDesign, history: History, tables: EffectTables, rng: np.random.Generator
) -> IndexDates:
    """First contacts against customers at risk on the same day."""
    contacts = _numbered_contacts(design, history, tables)
    touched = build_events(contacts["customer"].to_numpy(), contacts["day"].to_numpy())
    users = _first_eligible(contacts, design, history)
    if users.is_empty():
        raise DataError(f'effect "{design.name}": nobody was contacted with a whole follow-up left')
    customers, day = users["customer"].to_numpy(), users["day"].to_numpy()
    controls, control_day = _draw_controls(design, history, touched, day, rng)
    return IndexDates(
        customers=np.concatenate([customers, controls]),
        day=np.concatenate([day, control_day]),
        treated=np.arange(len(customers) + len(controls)) < len(customers),
        cost=np.concatenate([users["cost"].to_numpy(), np.full(len(controls), np.nan)]),
        refusal=_proof_of_life(contacts, history),
    )


def _numbered_contacts(design: EffectDesign, history: History, tables: EffectTables) -> pl.DataFrame:
    """Matching contacts that are treatments, with customer, day, own (the customer began it) and cost."""
    contacts = matching_contacts(design, tables)
    columns = set(contacts.collect_schema().names())
    if "treatment" in columns:
        contacts = contacts.filter(pl.col("treatment"))
    own = [pl.col("direction") == "inbound"] if "direction" in columns else []
    own += [pl.col("origin") == "customer"] if "origin" in columns else []
    frame = contacts.select(
        "customer_id",
        pl.col("timestamp").alias("opened_at"),
        pl.col("timestamp").dt.date().cast(pl.Int32).cast(pl.Int64).alias("day"),
        pl.any_horizontal([e.fill_null(value=False) for e in own] or [pl.lit(False)]).alias("own"),
        ((pl.col("cost") / MONEY_SCALE) if "cost" in columns else pl.lit(None, dtype=pl.Float64)).alias(
            "cost"
        ),
        *([pl.col("proactive").alias("began")] if "proactive" in columns else []),
    ).with_columns(pl.col("cost").fill_null(float("nan")))
    return history.number(frame.collect()).sort("customer", "opened_at")


def _proactive_against_reactive(design: EffectDesign, history: History, tables: EffectTables) -> IndexDates:
    """Care that the brand began against care that the customer asked for; each customer's first contact."""
    contacts = _numbered_contacts(design, history, tables)
    if "began" not in contacts.columns:
        raise DataError(f'effect "{design.name}": touchpoints have no proactive to select by')
    rows = _first_eligible(contacts.filter(pl.col("began").is_not_null()), design, history)
    refusal = None
    if not history.contractual:
        refusal = (
            "who asked first proves to be still there, and who is written to does not: where leaving is not "
            "recorded the two cannot be held against each other"
        )
    return IndexDates(
        customers=rows["customer"].to_numpy(),
        day=rows["day"].to_numpy(),
        treated=rows["began"].to_numpy(),
        cost=np.where(rows["began"], rows["cost"], np.nan),
        refusal=refusal,
    )


def _draw_controls(
    design: EffectDesign, history: History, touched: Events, day: Integer, rng: np.random.Generator
) -> tuple[Integer, Integer]:
    """For each treated day, distinct customers at risk that day without such a contact: numbers and days.

    Uniform draws by rejection; a customer is not drawn twice for one day.
    """
    wanted = np.repeat(day, design.controls_per_treated)
    taken: set[int] = set()
    customers, days = [], []
    for _ in range(_DRAWS):
        if not len(wanted):
            break
        drawn = rng.integers(len(history), size=len(wanted))
        free = touched.first_from(drawn, wanted - design.washout_days) > wanted + design.landmark_days
        good = free & _followed(design, history, drawn, wanted)
        keys = drawn * (1 << 22) + wanted
        fresh = np.zeros(len(wanted), dtype=bool)
        fresh[np.unique(keys, return_index=True)[1]] = True
        good &= fresh & np.array([key not in taken for key in keys.tolist()], dtype=bool)
        taken.update(keys[good].tolist())
        customers.append(drawn[good])
        days.append(wanted[good])
        wanted = wanted[~good]
    return np.concatenate(customers), np.concatenate(days)


def _proof_of_life(contacts: pl.DataFrame, history: History) -> str | None:
    """Why contacts that customers began cannot be held against silence when nobody knows who left."""
    share = contacts["own"].mean()
    if history.contractual or not isinstance(share, float) or share < 0.5:
        return None
    return (
        "these contacts were begun by the customer, which proves that the customer was still there; "
        '"no_contact" cannot match that where leaving is not recorded: use "unanswered" or "slower"'
    )
