"""What the user may choose about customer care: the `[care]` part of the configuration."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

import polars as pl
from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(extra="forbid")
BY_EITHER_NAME = ConfigDict(extra="forbid", validate_by_name=True, validate_by_alias=True)

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


def _day(value: Any) -> Any:
    """A day's name by its first three letters, in any case."""
    return value[:3].title() if isinstance(value, str) else value


def _minutes(text: str) -> int:
    """Minutes after midnight of "9:00"; "24:00" is the day's end.

    >>> _minutes("17:30")
    1050
    """
    match = re.fullmatch(r"([01]?\d|2[0-4]):([0-5]\d)", text)
    if match is None or (minutes := 60 * int(match[1]) + int(match[2])) > 24 * 60:
        raise ValueError(f'"{text}" is no time of day; allowed: "0:00" to "24:00"')
    return minutes


def _patterns_compile(value: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in value:
        try:
            pl.Series([""]).str.contains(f"(?i){pattern}")
        except pl.exceptions.ComputeError as error:
            raise ValueError(f'"{pattern}" is no regular expression that can be searched for') from error
    return value


@dataclass(frozen=True, kw_only=True, config=BY_EITHER_NAME)
class Hours:
    """When the desk is open, by the wall clock of its zone.

    Attributes
    ----------
    zone
        Time zone of the desk; by default the run's.
    days
        Days on which it opens.
    opens, closes
        Written `from` and `to`: "9:00" to "17:30"; where `to` is not after `from`, it is the next day's.
    also
        Other hours of single days, e.g. `{ Sat = "10:00-14:00" }`.
    closed
        Dates on which it stays shut.
    """

    zone: str | None = None
    days: tuple[Annotated[Day, BeforeValidator(_day)], ...] = ("Mon", "Tue", "Wed", "Thu", "Fri")
    opens: str = Field(default="9:00", alias="from")
    closes: str = Field(default="17:30", alias="to")
    also: dict[Annotated[Day, BeforeValidator(_day)], str] = Field(default_factory=dict)
    closed: tuple[dt.date, ...] = ()

    @field_validator("zone")
    @classmethod
    def _zone_is_known(cls, zone: str | None) -> str | None:
        try:
            ZoneInfo(zone or "UTC")
        except (KeyError, ValueError, OSError) as error:
            raise ValueError("not a time zone name such as Europe/London") from error
        return zone

    @model_validator(mode="after")
    def _times_are_readable(self) -> Hours:
        _span(f"{self.opens}-{self.closes}")
        for text in self.also.values():
            _span(text)
        if not self.days and not self.also:
            raise ValueError("days is empty, so the desk never opens; name at least one day")
        return self

    def spans_of(self, day: dt.date) -> list[tuple[int, int]]:
        """Minutes after the day's midnight at which the desk opens and closes; empty when it stays shut."""
        name: Any = DAYS[day.weekday()]
        if day in self.closed:
            return []
        if name in self.also:
            return [_span(self.also[name])]
        return [_span(f"{self.opens}-{self.closes}")] if name in self.days else []


def _span(text: str) -> tuple[int, int]:
    first, dash, last = text.replace("–", "-").partition("-")
    if not dash:
        raise ValueError(f'"{text}" is no span of hours; write "10:00-14:00"')
    start, end = _minutes(first.strip()), _minutes(last.strip())
    return start, end if end > start else end + 24 * 60


@dataclass(frozen=True, kw_only=True, config=BY_EITHER_NAME)
class Promise:
    """One promise to customers: a share of cases within so many minutes.

    Attributes
    ----------
    name
        What it is called.
    kpi
        "first_response", "next_response" or "resolution".
    within_minutes, share
        What is promised, and to how many of the cases, 0 to 1.
    channel, group
        Where it holds: one channel, or the channels of one group; everywhere without either.
    clock
        "calendar" or "business".
    since
        First day on which it holds; written `from`.
    """

    name: str
    kpi: Literal["first_response", "next_response", "resolution"] = "first_response"
    within_minutes: Annotated[float, Field(gt=0)]
    share: Annotated[float, Field(gt=0, le=1)] = 0.8
    channel: str | None = None
    group: str | None = None
    clock: Literal["calendar", "business"] = "calendar"
    since: dt.date | None = Field(default=None, alias="from")

    @model_validator(mode="after")
    def _one_place(self) -> Promise:
        if self.channel is not None and self.group is not None:
            raise ValueError("a promise holds for a channel or for a group, not both")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NeedsReply:
    """Rules that say whether a customer's post needs a reply; each list takes the place of the built-in one.

    Attributes
    ----------
    question, request, problem, order, praise, repost, competition, spam
        Regular expressions, read without case.
    tone_below
        A post whose sentiment is below this needs a reply.
    otherwise
        What a post is that no rule knows, one without a text included.
    learn
        Whether a model of the labelled posts may judge the others, where it is better than the rules.
    """

    question: tuple[str, ...] | None = None
    request: tuple[str, ...] | None = None
    problem: tuple[str, ...] | None = None
    order: tuple[str, ...] | None = None
    praise: tuple[str, ...] | None = None
    repost: tuple[str, ...] | None = None
    competition: tuple[str, ...] | None = None
    spam: tuple[str, ...] | None = None
    tone_below: float = -0.2
    otherwise: bool = True
    learn: bool = True

    _compile = field_validator(
        "question", "request", "problem", "order", "praise", "repost", "competition", "spam"
    )(classmethod(lambda cls, value: None if value is None else _patterns_compile(value)))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Redirection:
    """Rules that find a brand's request to move elsewhere; each takes the place of the built-in one.

    Attributes
    ----------
    targets
        Regular expressions by target: "private message", "phone", "e-mail", "form", "link".
    reasons
        Regular expressions by reason: "private data", "length"; any other reason is "other".
    channels
        Regular expressions by target, for the names of channels in which a customer is found again.
    """

    targets: dict[str, tuple[str, ...]] | None = None
    reasons: dict[str, tuple[str, ...]] | None = None
    channels: dict[str, str] | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Question:
    """A question of the learning agenda.

    Attributes
    ----------
    question, owner
        What is to be learnt, and who has to know.
    effects
        Names of the `[[effects]]` that are its evidence so far.
    """

    question: Annotated[str, Field(min_length=1, max_length=300)]
    owner: Annotated[str, Field(max_length=100)] = ""
    effects: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CareSettings:
    """How posts become cases, and what was promised.

    Attributes
    ----------
    first
        Which of the headline figures come first.
    automatic_authors, automatic_texts
        Authors (of brand posts), and regular expressions for texts, that are automatic.
    automatic_seconds
        A reply within so many seconds, inclusive, is automatic; -1 switches the rule off.
    quiet_days
        Days after the brand's last word after which a customer's post in the same thread is a new case.
    repeat_days
        Days after the last post of a case within which a new one repeats it, and within which a further
        contact about the same topic means that the first did not resolve it.
    join_hours
        Hours within which a redirected customer is looked for where they were sent.
    horizon_days
        Days after which a case without a human reply counts as ignored.
    hours
        Opening hours; without them no business clock is shown.
    promises
        What is promised; the first one is the service level of the headline.
    needs_reply
        Which posts want an answer.
    redirection
        How "please send us a direct message" is recognised.
    sales_days
        Days after a case within which a purchase counts towards service-to-sales conversion.
    agenda
        What is to be learnt: questions with their owners and the effects that are evidence.
    quotes
        Whether the report quotes ten public messages of customers, chosen by rule, without telling words.
    """

    first: Literal["satisfaction", "cost"] = "satisfaction"
    automatic_authors: tuple[str, ...] = ()
    automatic_texts: tuple[str, ...] = ()
    automatic_seconds: Annotated[float, Field(ge=-1)] = 5.0
    quiet_days: Annotated[float, Field(gt=0)] = 3.0
    repeat_days: Annotated[float, Field(gt=0)] = 7.0
    join_hours: Annotated[float, Field(gt=0)] = 24.0
    horizon_days: Annotated[float, Field(gt=0)] = 3.0
    sales_days: Annotated[int, Field(gt=0)] = 7
    hours: Hours | None = None
    promises: tuple[Promise, ...] = ()
    needs_reply: NeedsReply = Field(default_factory=NeedsReply)
    redirection: Redirection = Field(default_factory=Redirection)
    agenda: tuple[Question, ...] = ()
    quotes: bool = False

    _compile = field_validator("automatic_texts")(classmethod(lambda cls, value: _patterns_compile(value)))

    @field_validator("promises")
    @classmethod
    def _names_differ(cls, promises: tuple[Promise, ...]) -> tuple[Promise, ...]:
        names = [promise.name for promise in promises]
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if twice:
            raise ValueError(f'two promises are called "{twice[0]}"; each needs a name of its own')
        return promises
