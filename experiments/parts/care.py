"""What happened to every message: the cases, and the service figures that they make."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import polars as pl

from care.agents import agent_funnel
from care.alerts import alerts_table
from care.clock import to_instants
from care.community import community_figures, members_of
from care.conversations import POST_CASE, build_conversations
from care.costs import daily_costs
from care.figures import care_figures
from care.journeys import Journeys
from care.judging import Judged, judge_posts
from care.named_reasons import named_in_cases, named_in_posts, reason_figures
from care.promises import promise_figures
from care.queue import agent_pseudonyms, with_pseudonyms, with_ranks
from care.quotes import choose_quotes
from care.repeated_replies import sudden_agent_note
from care.rows import care_frame
from care.settings import CareSettings
from care.stake import gain_of_answer
from care.threads import link_posts, sides_by_staff, without_internal
from care.topics import topic_figures
from care.vanity import vanity_figures
from care.view import Desk
from experiments.config import RunConfig
from experiments.parts.histories import Histories
from experiments.parts.matters import AllCases, all_cases, instants, measured_desk
from experiments.parts.part import Part
from histories.errors import DataError
from histories.identity import (
    KEY_VARIABLE,
    customers_of_handles,
    international_handle,
    is_likely_only,
    normal_platform,
    pseudonyms,
)
from histories.periods import end_of_day
from histories.reading.schemas import CASES


@dataclass(frozen=True, slots=True, kw_only=True)
class CarePart(Part):
    """Tables of service figures and cases, or why there are none.

    `desk` is what the figures were counted over; `cases` the bundle's table of them, by author, not held.
    """

    cases: pl.LazyFrame | None = None
    desk: Desk | None = None


def find_cases(config: RunConfig, histories: Histories) -> AllCases | None:
    """Cases of posts and of the desk's table together; None without either."""
    posts, desk = histories.table("posts"), _desk_table(histories)
    if posts is None and desk is None:
        return None
    settings = _settings(config)
    judged: Judged | None = None
    told_first: list[str] = []
    if posts is not None:
        try:
            judged, told_first = _judged(config, histories, posts, settings)
        except DataError as error:
            if desk is None:
                raise
            told_first = [f"{error} The table cases is counted without them."]
    found = all_cases(
        histories.engine,
        None if judged is None else build_conversations(judged.posts, settings),
        desk,
        settings,
        zone=config.timezone,
        touches=_touches(histories),
    )
    reasons = _reasons(config, histories, None if judged is None else judged.posts, desk)
    if desk is not None and (sudden := sudden_agent_note(desk, staff_of(config))):
        told_first = [*told_first, sudden]
    notes = (*told_first, *found.notes)
    if judged is None:
        return dataclasses.replace(found, notes=notes, figures=reasons)
    end = _end(config, histories)
    told = [
        reasons,
        community_figures(judged.posts, settings, end=end),
        vanity_figures(judged.posts, _purchases(config, histories), end=end),
    ]
    quotes = choose_quotes(judged.posts) if settings.quotes else None
    return dataclasses.replace(
        found,
        notes=notes,
        model=judged.model,
        figures=pl.concat(told),
        quotes=quotes,
        members=members_of(judged.posts),
    )


def _desk_table(histories: Histories) -> pl.LazyFrame | None:
    """The desk's table without columns that we do not know: their names say nothing of what they hold."""
    table = histories.table("cases")
    return (
        None
        if table is None
        else table.select(name for name in table.collect_schema() if name in CASES.columns)
    )


def _reasons(
    config: RunConfig, histories: Histories, posts: pl.DataFrame | None, cases: pl.LazyFrame | None
) -> pl.DataFrame:
    """What customers say made them buy, in posts and in the answers of surveys."""
    named = []
    if posts is not None and "customer_id" in posts.columns:
        named.append(named_in_posts(posts))
    asked = ("customer_id", "opened_at", "purchase_reason")
    if cases is not None and {*asked} <= {*cases.collect_schema()}:
        answered = cases.select(asked).drop_nulls("purchase_reason").collect()
        named.append(named_in_cases(instants(answered, config.timezone)))
    if not named:
        return care_frame()
    return reason_figures(pl.concat(named, how="vertical_relaxed"), _purchases(config, histories))


def _purchases(config: RunConfig, histories: Histories) -> pl.DataFrame | None:
    """customer_id, at (instant), amount of purchases; None without any."""
    if histories.purchases is None:
        return None
    bought = histories.purchases.select("customer_id", "timestamp", "amount").collect()
    at = to_instants(bought["timestamp"], config.timezone).alias("at")
    return bought.select("customer_id", at, "amount")


def care_part(
    config: RunConfig,
    histories: Histories,
    customers: pl.DataFrame | None = None,
    cases: AllCases | None = None,
    effects: pl.DataFrame | None = None,
) -> CarePart:
    """Every figure of the catalogue.

    Parameters
    ----------
    config, histories
        What was promised, and the checked tables.
    customers
        The bundle's table of customers, where they were valued.
    cases
        Of `find_cases`; found here where they are not given.
    effects
        The run's effects, of which those of an answer say what one now is worth.
    """
    cases = cases or find_cases(config, histories)
    if cases is None:
        return CarePart(left_out={"service figures": "no posts and no cases were given"})
    if cases.is_empty:
        return CarePart(left_out={"service figures": "no post and no case is a customer's"})
    settings = _settings(config)
    hours = _hours(histories, config.timezone)
    paid = [] if hours is None or "agent" not in hours.columns else [hours["agent"]]
    names = agent_pseudonyms(cases.agents, *paid)
    hours = None if hours is None else _renamed(hours, names)
    gain = gain_of_answer(effects, config.to_dict()["effects"])
    asked = _desk(config, histories, cases, settings, hours, customers)
    if gain is not None:
        asked = dataclasses.replace(asked, gain=gain.value, gain_minutes=gain.minutes, gain_clock=gain.clock)
    bought = histories.purchases
    whole, queue = measured_desk(
        cases,
        asked,
        names=names,
        purchases=None if bought is None else bought.select("customer_id", "timestamp"),
    )
    told = [care_figures(whole), promise_figures(whole), agent_funnel(whole), topic_figures(whole)]
    figures = pl.concat([*told, *([] if cases.figures is None else [cases.figures])])
    return CarePart(
        tables={"care": figures, "alerts": alerts_table(whole, figures)}
        | ({} if cases.quotes is None else {"quotes": cases.quotes}),
        cases=_without_post_ids(_without_likely(_of_ids(with_ranks(queue), histories), histories)),
        left_out=without_stake(whole) | _without_quotes(settings, cases),
        notes=cases.notes,
        desk=whole,
    )


def without_stake(desk: Desk) -> dict[str, str]:
    """Why the known customers who wait have no value at stake."""
    view = desk.view()
    waits = view["waiting"] > 0
    if desk.values is None or not waits.any():
        return {}
    ordered = "who waits is ordered by the customer's value, need and audience"
    if desk.gain is None:
        reason = (
            "no supported effect says what an answer adds to the retention of those who wait (estimand ATU "
            "of an [[effects]] entry that compares answers, above zero)"
        )
        return {"value at stake": f"{reason}; {ordered}"}
    if desk.gain_minutes is None:
        return {}
    waited = view["first_business_seconds" if desk.gain_clock == "business" else "first_seconds"]
    in_time = waits & (view["first_open"] > 0) & (waited <= 60.0 * desk.gain_minutes)
    if in_time.any():
        return {}
    reason = (
        f"what is known is what an answer within {desk.gain_minutes:g} minutes adds to a later one, and all "
        "who wait have waited longer"
    )
    return {"value at stake": f"{reason}; {ordered}"}


def _without_quotes(settings: CareSettings, cases: AllCases) -> dict[str, str]:
    """Why there are no quotes where they were asked for."""
    if not settings.quotes or (cases.quotes is not None and not cases.quotes.is_empty()):
        return {}
    return {
        "quotes": "no public message of a known customer has a topic and consists of words that five "
        "customers use"
    }


def _of_ids(table: pl.LazyFrame, histories: Histories) -> pl.LazyFrame:
    """Cases with ids of the customers' type, also where no case names one."""
    return table.with_columns(pl.col("customer_id").cast(histories.inputs.customer_dtype))


def _without_likely(table: pl.LazyFrame, histories: Histories) -> pl.LazyFrame:
    """Cases of authors who are a customer by likeness alone name nobody; the figures count them."""
    identities = histories.table("identities")
    if identities is None:
        return table
    rows = identities.filter(is_likely_only(identities.collect_schema().names()))
    likely = rows.select(
        normal_platform().alias("platform"), pl.col("customer_id"), pl.lit(True).alias("likely")
    ).unique()
    known = table.with_columns(normal_platform(pl.col("channel")).alias("platform")).join(
        likely, on=["platform", "customer_id"], how="left", maintain_order="left"
    )
    found = pl.col("likely").fill_null(False) & pl.col("case_id").str.starts_with(POST_CASE)
    hidden = ("customer_id", "value_at_stake", "priority_reason")
    return known.with_columns(pl.when(~found).then(name).alias(name) for name in hidden).drop(
        "platform", "likely"
    )


def _without_post_ids(table: pl.LazyFrame) -> pl.LazyFrame:
    """With the key of pseudonyms, a post's public id names its author no more."""
    key = os.environ.get(KEY_VARIABLE)
    if not key:
        return table
    return table.with_columns(
        pl.when(pl.col(name).str.starts_with(POST_CASE))
        .then(pl.concat_str(pl.lit(POST_CASE), pseudonyms(name, key.encode())))
        .otherwise(name)
        .alias(name)
        for name in ("case_id", "journey_id", "repeat_of")
    )


def _settings(config: RunConfig) -> CareSettings:
    """The settings; the desk's zone is the run's where none is given."""
    hours = config.care.hours
    if hours is None or hours.zone is not None:
        return config.care
    return dataclasses.replace(config.care, hours=dataclasses.replace(hours, zone=config.timezone))


def staff_of(config: RunConfig, *tables: pl.LazyFrame | None) -> frozenset[str]:
    """Names by which the brand writes: automatic authors, and agents of the tables; lower case, without @."""
    names = list(config.care.automatic_authors)
    for table in tables:
        if table is not None and "agent" in table.collect_schema().names():
            agent = pl.col("agent").cast(pl.String)
            names += table.select(agent.drop_nulls().unique()).collect()["agent"].to_list()
    return frozenset(name.removeprefix("@").lower() for name in names)


def _judged(
    config: RunConfig, histories: Histories, posts: pl.LazyFrame, settings: CareSettings
) -> tuple[Judged, list[str]]:
    """Linked posts of known authors, with what is learned of the labelled ones; and what to tell."""
    identities = histories.table("identities")
    if identities is not None:
        country, author = config.identity.country, pl.col("author")
        known = posts.with_columns(
            (author if country is None else international_handle(country, author)).alias("handle"),
            pl.lit(None, dtype=histories.inputs.customer_dtype).alias("customer_id"),
        )
        posts = customers_of_handles(known, identities).drop("handle")
    rows, hidden = without_internal(posts.collect())
    rows, told = sides_by_staff(rows, staff_of(config, *map(histories.table, ("posts", "cases", "hours"))))
    at = to_instants(rows["timestamp"], config.timezone).alias("at")
    judged = judge_posts(link_posts(rows.with_columns(at)), settings, seed=config.seed)
    return judged, [note for note in (hidden, told, judged.note) if note]


def _touches(histories: Histories) -> pl.LazyFrame | None:
    """Where and when customers got in touch."""
    touches = histories.touchpoints
    if touches is None:
        return None
    is_own = (pl.col("direction") != "outbound").fill_null(True)
    return touches.filter(is_own).select("customer_id", "timestamp", "channel")


def _hours(histories: Histories, zone: str) -> pl.DataFrame | None:
    """Paid hours by agent and team; None without the table."""
    table = histories.table("hours")
    return None if table is None else _paid_hours(instants(table.collect(), zone))


def _renamed(frame: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """With agents' pseudonyms."""
    return frame.with_columns(with_pseudonyms(names)) if "agent" in frame.columns else frame


def _paid_hours(hours: pl.DataFrame) -> pl.DataFrame:
    """Paid hours by agent and team."""
    if "paid" in hours.columns:
        hours = hours.filter(pl.col("paid").fill_null(True))
    keys = [name for name in ("agent", "team") if name in hours.columns]
    worked = (pl.col("end") - pl.col("start")).dt.total_microseconds() / 3.6e9
    return hours.group_by(keys).agg(worked.sum().alias("hours"))


def _end(config: RunConfig, histories: Histories) -> dt.datetime:
    """The first instant after the observation."""
    naive: dt.datetime = pl.select(end_of_day(histories.inputs.observation_end)).item()
    return naive.replace(tzinfo=ZoneInfo(config.timezone)).astimezone(dt.UTC)


def _desk(
    config: RunConfig,
    histories: Histories,
    cases: AllCases,
    settings: CareSettings,
    hours: pl.DataFrame | None,
    customers: pl.DataFrame | None,
) -> Desk:
    zone, last = config.timezone, histories.inputs.observation_end
    end = _end(config, histories)
    opened = cases.first_opened
    first = last if opened is None else opened.astimezone(ZoneInfo(zone)).date()
    costs = histories.table("costs")
    touches = histories.touchpoints
    in_care, began = None, None
    if touches is not None:
        care = touches.filter(pl.col("kind") == "care")
        counts = [pl.len().alias("touches")]
        if "proactive" in care.collect_schema():
            flag = pl.col("proactive")
            counts += [flag.count().alias("known"), flag.fill_null(value=False).sum().alias("began")]
        found = care.select(counts).collect().row(0, named=True)
        in_care, began = int(found["touches"]), int(found["began"]) if found.get("known") else None
    return Desk(
        journeys=Journeys(journeys=pl.DataFrame(), waits=pl.DataFrame(), end=end),
        settings=settings,
        columns=cases.columns,
        zone=zone,
        groups=config.channel_groups,
        values=None if customers is None else customers.select("customer_id", "customer_lifetime_value"),
        purchases=None if histories.purchases is None else pl.DataFrame(),
        costs=None if costs is None else daily_costs(costs.collect(), first=first, last=last),
        hours=hours,
        care_touches=in_care,
        proactive_touches=began,
    )
