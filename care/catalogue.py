"""The catalogue of service figures: each one value, with all that a reader may ask about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from care.measures import effectiveness, quality, service
from care.measures.base import Measured

Group = Literal["service", "quality", "effectiveness"]
Direction = Literal["up", "down"]

_SERVICE, _QUALITY, _FINANCE = "head of customer care", "quality lead", "controller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpi:
    """One figure of the catalogue.

    Attributes
    ----------
    name, group
        Its name in tables and in `--kpi`, and the group it stands in.
    sentence
        What it says, to a reader who does not know the field.
    formula
        How it is computed, in words and signs.
    unit
        "cases", "share", "minutes", "score"… or "currency", which the run names.
    direction
        Which way is better; None where neither is.
    owner
        Who answers for it.
    needs
        Columns that it cannot do without; "a|b": either.
    timed
        Whether it measures time, and so is made on both clocks.
    interval
        How its interval is made.
    smallest_n
        Below so many cases the row says that it rests on few.
    hourly
        Whether it is made for every hour of the week.
    dated
        Whether it is made by week and month.
    measure
        Its function.
    """

    name: str
    group: Group
    sentence: str
    formula: str
    unit: str
    direction: Direction | None
    owner: str
    measure: Measured = field(repr=False, compare=False)
    needs: tuple[str, ...] = ()
    timed: bool = False
    interval: str = "none"
    smallest_n: int = 30
    hourly: bool = False
    dated: bool = True

    def missing(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Those of the needed columns that no table gave."""
        given = set(columns)
        return tuple(need for need in self.needs if not given & set(need.split("|")))


def _kpi(
    name: str, group: Group, unit: str, direction: Direction | None, measure: Measured,
    sentence: str, formula: str, *, needs: tuple[str, ...] = (), timed: bool = False,
    interval: str = "Wilson, design effect", smallest_n: int = 30, hourly: bool = False, dated: bool = True,
) -> Kpi:  # fmt: skip
    owner = {"service": _SERVICE, "quality": _QUALITY, "effectiveness": _FINANCE}[group]
    return Kpi(
        name=name, group=group, unit=unit, direction=direction, measure=measure, sentence=sentence,
        formula=formula, needs=needs, timed=timed, interval=interval, smallest_n=smallest_n, hourly=hourly,
        dated=dated, owner=owner,
    )  # fmt: skip


_REPLY = ("answered|first_response_at|first_response_minutes|needs_reply",)
_RESOLVED = ("resolved_at|resolution_minutes",)
_KM = "Kaplan-Meier, log-log"

CATALOGUE: Final[tuple[Kpi, ...]] = (
    _kpi("listened", "service", "cases", None, service.listened,
         "Matters that customers brought up, noise included.",
         "cases and conversations, parts of one matter counted once", interval="none", smallest_n=0),
    _kpi("applicable", "service", "cases", None, service.applicable,
         "Matters that need a reply.", "listened - noise", interval="none", smallest_n=0, hourly=True),
    _kpi("noise_rate", "service", "share", None, service.noise_rate,
         "Share of matters that need no reply.", "noise / listened"),
    _kpi("match_rate", "service", "share", "up", service.match_rate,
         "Share of matters whose author is a known customer.", "matters with a customer_id / listened"),
    _kpi("response_rate", "service", "share", "up", service.response_rate,
         "Share that a human has answered, once they are three days old.",
         "answered by a human / applicable and older than horizon_days", needs=_REPLY, hourly=True),
    _kpi("ignored_rate", "service", "share", "down", service.ignored_rate,
         "Share that no human has answered, once they are three days "
         "old.", "1 - response_rate", needs=_REPLY),
    _kpi("first_response_p50", "service", "minutes", "down", service.first_response(0.5),
         "Half of the customers wait longer than this for the first human reply.",
         "first time at which at most half still wait; open cases censored; as_tool: median of the answered, "
         "automatic replies included", needs=_REPLY, timed=True, interval=_KM, hourly=True),
    _kpi("first_response_p90", "service", "minutes", "down", service.first_response(0.9),
         "One customer in ten waits longer than this for the first human reply.",
         "first time at which at most a tenth still wait; open cases censored", needs=_REPLY, timed=True,
         interval=_KM),
    _kpi("next_response_p50", "service", "minutes", "down", service.next_response(0.5),
         "Half of the further questions wait longer than this for a human.",
         "as first_response_p50, over waits that start after the first reply", needs=("replies",), timed=True,
         interval=_KM),
    _kpi("next_response_p90", "service", "minutes", "down", service.next_response(0.9),
         "One further question in ten waits longer than this for a human.",
         "as first_response_p90, over waits that start after the first reply", needs=("replies",), timed=True,
         interval=_KM),
    _kpi("service_level", "service", "share", "up", service.service_level,
         "Share of customers to whom the promise was kept.",
         "kept / (kept + broken); unanswered ones whose promise has run out are broken; as_tool: kept / "
         "answered, "
         "automatic replies included", needs=_REPLY, timed=True, hourly=True),
    _kpi("resolution_p50", "service", "minutes", "down", service.resolution(0.5),
         "Half of the matters take longer than this from opening to resolution.",
         "first time at which at most half are unresolved; unresolved ones censored", needs=_RESOLVED,
         timed=True, interval=_KM),
    _kpi("resolution_p90", "service", "minutes", "down", service.resolution(0.9),
         "One matter in ten takes longer than this from opening to resolution.",
         "first time at which at most a tenth are unresolved; unresolved ones censored", needs=_RESOLVED,
         timed=True, interval=_KM),
    _kpi("abandonment", "service", "share", "down", service.abandonment,
         "Share that the customer is known to have left; silence is not known as leaving.",
         "cases with abandoned_at / applicable", needs=("abandoned_at",)),
    _kpi("backlog", "service", "cases", "down", service.backlog,
         "Customers who wait for a human when the observation ends.",
         "matters with an open first or next wait", needs=_REPLY, interval="none", smallest_n=0, dated=False),
    _kpi("oldest_waiting", "service", "minutes", "down", service.oldest_waiting,
         "How long the one who waits longest has waited.", "largest open wait, calendar", needs=_REPLY,
         interval="none", smallest_n=0, dated=False),
    _kpi("handling_time", "service", "minutes", None, service.handling_time,
         "Mean time of work on a matter.", "sum of handling_seconds of its parts / 60",
         needs=("handling_seconds",), interval="normal, between customers"),
    _kpi("resolutions_per_hour", "service", "cases per hour", "up", service.resolutions_per_hour,
         "Matters resolved in a paid hour.", "resolved / paid hours", needs=("hours", *_RESOLVED),
         interval="none", dated=False),
    _kpi("occupancy", "service", "share", None, service.occupancy,
         "Share of paid time spent on matters.", "handling_seconds / paid seconds",
         needs=("hours", "handling_seconds"), interval="none", dated=False),
    _kpi("proactive_share", "service", "share", "up", service.proactive_share,
         "Share of care contacts that the company began.", "proactive care touchpoints / care touchpoints",
         interval="none", dated=False),
    _kpi("unanswered_audience_median", "service", "follower hours", "down",
         service.unanswered_audience("median"),
         "Audience of a customer who waits: followers times hours, in the middle.",
         "median of followers x hours "
         "waiting", needs=("audience",), interval="none", smallest_n=0, dated=False),
    _kpi("unanswered_audience", "service", "follower hours", "down", service.unanswered_audience("sum"),
         "Audience of all customers who wait.", "sum of followers x hours waiting", needs=("audience",),
         interval="none", smallest_n=0, dated=False),
    _kpi("unanswered_audience_largest", "service", "follower hours", "down",
         service.unanswered_audience("largest"),
         "Audience of the ten most visible customers who "
         "wait.", "sum of the ten largest followers x hours waiting",
         needs=("audience",), interval="none", smallest_n=0, dated=False),
    _kpi("first_contact_resolution", "quality", "share", "up", quality.first_contact_resolution,
         "Share settled at the first go: resolved, in one turn of the customer, with no further contact "
         "about it.",
         "resolved, turns = 1, not reopened, no contact about the same topic in any channel within "
         "repeat_days / "
         "applicable whose window is over; as_tool: one turn / resolved",
         needs=(*_RESOLVED, "turns|contacts")),
    _kpi("repeat_rate", "quality", "share", "down", quality.repeat_rate,
         "Share that follows another matter of the same customer within a week.",
         "opened within repeat_days of the last word of an earlier one / applicable"),
    _kpi("reopen_rate", "quality", "share", "down", quality.reopen_rate,
         "Share of resolved matters that were opened again.", "reopened / resolved", needs=_RESOLVED),
    _kpi("escalation_rate", "quality", "share", "down", quality.escalation_rate,
         "Share passed on to a higher level.", "escalated / applicable", needs=("escalated",)),
    _kpi("misroute_rate", "quality", "share", "down", quality.misroute_rate,
         "Share that began with a team that did not handle it.", "first_team differs from team / applicable",
         needs=("first_team", "team")),
    _kpi("handovers", "quality", "handovers", "down", quality.handovers,
         "How often a matter changes hands.", "mean of stations - 1, over the answered", needs=("stations",),
         interval="normal, between customers"),
    _kpi("redirection_rate", "quality", "share", "down", quality.redirection_rate,
         "Share of handled matters in which the customer was asked to move elsewhere.",
         "a human post that asks to move / answered", needs=("replies",)),
    _kpi("redirection_completion", "quality", "share", "up", quality.redirection_completion,
         "Share of those who were sent elsewhere and came there.",
         "found in the target within join_hours / redirected", needs=("replies",)),
    _kpi("redirection_minutes", "quality", "minutes", "down", quality.redirection_minutes,
         "What being sent elsewhere adds to the wait.", "median time from being asked to coming",
         needs=("replies",), interval="none", dated=False),
    _kpi("redirection_csat_gap", "quality", "share", "up", quality.redirection_csat_gap,
         "Satisfaction of those who were sent elsewhere, less that of the others.",
         "csat among redirected - among others handled; descriptive", needs=("replies", "csat"),
         interval="Newcombe", dated=False),
    _kpi("containment", "quality", "share", "up", quality.containment,
         "Share of handled matters that ended where they began.", "neither redirected nor moved / answered",
         needs=("closed_channel",)),
    _kpi("sentiment_shift", "quality", "points", "up", quality.sentiment_shift,
         "How much friendlier the last message is than the first, from -2 to 2.",
         "mean of sentiment_last - sentiment_first", needs=("sentiment_first", "sentiment_last"),
         interval="normal, between customers"),
    _kpi("sentiment_better", "quality", "share", "up", quality.sentiment_better,
         "Share whose last message is friendlier than the first.",
         "sentiment_last > sentiment_first / both known", needs=("sentiment_first", "sentiment_last")),
    _kpi("csat", "quality", "share", "up", quality.csat(4),
         "Share of ratings that are 4 or 5 of 5; coverage is the share who rated.", "csat >= 4 / rated",
         needs=("csat",)),
    _kpi("delight", "quality", "share", "up", quality.csat(5),
         "Share of ratings that are 5 of 5; coverage is the share who rated.", "csat = 5 / rated",
         needs=("csat",)),
    _kpi("nps", "quality", "score", "up", quality.nps,
         "Promoters less detractors, from -1 to 1; coverage is the share who answered.",
         "(9 or 10) - (0 to 6) / answered", needs=("nps",), interval="normal"),
    _kpi("ces", "quality", "score", None, quality.ces,
         "Mean effort score, 1 to 7, in the survey's own direction; coverage is the share who answered.",
         "mean ces", needs=("ces",), interval="normal, between customers"),
    _kpi("effort", "quality", "steps", "down", quality.effort,
         "What a matter costs the customer: turns, changes of channel, asking again.",
         "mean of turns + channel changes + "
         "repeat", needs=("turns|contacts",), interval="normal, between customers"),
    _kpi("cost_per_contact", "effectiveness", "currency", "down", effectiveness.cost_per("contact"),
         "What one contact costs.", "costs of the channels, cut to the observation by days / contacts",
         interval="none"),
    _kpi("cost_per_answered", "effectiveness", "currency", "down", effectiveness.cost_per("answered"),
         "What one answered matter costs.", "costs of the channels / answered", interval="none"),
    _kpi("cost_per_resolution", "effectiveness", "currency", "down", effectiveness.cost_per("resolved"),
         "What one resolved matter costs.", "costs of the channels / "
         "resolved", needs=_RESOLVED, interval="none"),
    _kpi("value_weighted_service_level", "effectiveness", "share", "up",
         effectiveness.value_weighted_service_level,
         "Share of customers' lifetime value to which the promise was kept.",
         "service_level weighted by customer_lifetime_value, unknown customers left out; as_tool: the "
         "same cases "
         "unweighted", needs=_REPLY, timed=True, interval="Wilson, Kish's effective n"),
    _kpi("service_to_sales", "effectiveness", "share", "up", effectiveness.service_to_sales,
         "Share of known customers who bought within days of the matter; descriptive.",
         "bought within sales_days / known customers"),
)  # fmt: skip
"""Every figure, in the order in which it is shown."""

_SATISFACTION: Final = (
    "csat", "service_level", "first_response_p50", "ignored_rate", "first_contact_resolution", "applicable",
    "cost_per_resolution", "return",
)  # fmt: skip
_COST: Final = (
    "cost_per_resolution", "return", "first_contact_resolution", "applicable", "service_level",
    "first_response_p50", "ignored_rate", "csat",
)  # fmt: skip


def headline_order(first: Literal["satisfaction", "cost"]) -> tuple[str, ...]:
    """The eight figures of the first page in the order of what comes first; there is no composite.

    "return" is the return on investment.
    """
    return _COST if first == "cost" else _SATISFACTION
