"""What an answer does, for the figures that rest on it: the effect that may be used, or why none may.

Effects are estimated elsewhere and arrive as a table. Of an answer's effect on those who did not get one, the
estimand is ATU; where a design has no such row, or no supported one, the row it prefers takes its place and
is named. Naive rows and segments never do.

Of several supported effects that answer one question the first counts, in this order: an experiment before
all others; of all channels before of some; the longer follow-up; a response curve before a landmark, since it
counts from the opening on and adjusts for what was known then; the estimand asked for. Where two of the same
cases and follow-up lie apart beyond their errors, neither does; an experiment is held against experiments
alone. What counts from a later day on may be any part of what counts from the first. The first is held
against each of the others, with errors so wide that they all pass by chance in 95 of 100 (Sidak 1967).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl
from scipy.special import ndtri

from care.view import Clock
from histories.cuts import ALL
from histories.estimates import errors_apart, errors_outside

LEVEL: Final = 0.95
"""Probability inside the intervals of effects."""

ANY_ANSWER: Final = "any"
"""Bin of a response curve that holds any answer, at the speed there was."""

Z: Final = float(ndtri(0.5 + LEVEL / 2))
_CURVE: Final = "response_curve"
_LOT: Final = "randomised"
_QUESTION: Final = ("channel", "group", "clock", "days")
"""What two effects have in common that answer one question."""
_SMALL: Final = 0.2  # of a standard deviation: a small effect (Cohen 1988)
_TEST: Final = (float(ndtri(0.975)) + float(ndtri(0.8))) ** 2  # two-sided 5 %, power 80 %


@dataclass(frozen=True, slots=True, kw_only=True)
class CareEffect:
    """What one more answer, or one in time, does to an outcome, per case.

    Attributes
    ----------
    name, design, estimand, estimator
        Where it comes from.
    outcome
        Its unit: money in currency, retention as a share, issues as contacts.
    value, std_error, low, high
        The effect; None where nothing may be read.
    channel, group
        Of the cases that were compared; None: all. It says nothing of others.
    minutes, clock
        Within which an answer counts (None: any), and on which clock.
    start, days
        Days after the opening from which outcomes count, and for which they are followed.
    sizes
        Cases (or customers) on each side.
    supported, reason
        Whether it may be used; if not, why.
    remedy
        What would make it usable, where that is not an experiment.
    """

    name: str
    outcome: str
    design: str = ""
    estimand: str = ""
    estimator: str = ""
    value: float | None = None
    std_error: float | None = None
    low: float | None = None
    high: float | None = None
    channel: str | None = None
    group: str | None = None
    minutes: float | None = None
    clock: Clock = "calendar"
    start: int = 0
    days: int = 0
    sizes: tuple[int, int] = (0, 0)
    supported: bool = True
    reason: str | None = None
    remedy: str | None = None

    def covers(self, channels: pl.Series, groups: Mapping[str, str]) -> pl.Series:
        """Which cases it is about, by their channels; `groups` names the group of each channel.

        >>> fast = CareEffect(name="fast", outcome="spend", group="social")
        >>> fast.covers(pl.Series(["twitter", "phone"]), {"twitter": "social"}).to_list()
        [True, False]
        """
        if self.channel is not None:
            return (channels == self.channel).fill_null(False)
        if self.group is not None:
            members = [name for name, group in groups.items() if group == self.group]
            return channels.is_in([*members, self.group]).fill_null(False)
        return pl.Series([True] * channels.len(), dtype=pl.Boolean)

    @property
    def where(self) -> str:
        """The channel or group it is about, in words; empty for all."""
        place = self.channel or self.group
        return f" on {place}" if place else ""

    @property
    def usable(self) -> bool:
        """Whether money may rest on it."""
        return self.supported and self.value is not None

    @property
    def error(self) -> float:
        """Its standard error; 0 where nobody gave one."""
        if self.std_error is not None:
            return self.std_error
        return 0.0 if self.low is None or self.high is None else (self.high - self.low) / (2 * Z)

    @property
    def spread(self) -> float | None:
        """Standard deviation of the outcome between cases, as the standard error and the sizes tell it."""
        first, second = self.sizes
        if not (first and second and self.error):
            return None
        return self.error / math.sqrt(1 / first + 1 / second)

    @property
    def basis(self) -> str:
        """What it rests on, in words."""
        how = ", ".join(
            word for word in (self.design.replace("_", " "), self.estimator, self.estimand) if word
        )
        return f"{self.name} ({how})" if how else self.name

    def times(self, factor: float, outcome: str) -> CareEffect:
        """The same in another unit."""
        scaled: dict[str, Any] = {
            name: None if (x := getattr(self, name)) is None else x * factor
            for name in ("value", "std_error", "low", "high")
        }
        return replace(self, outcome=outcome, **scaled)


def find_effect(
    effects: pl.DataFrame,
    designs: Sequence[Mapping[str, Any]],
    outcome: str,
    *,
    minutes: float | None = None,
    clock: Clock | None = None,
    estimand: str = "ATU",
    exact: bool = False,
) -> CareEffect:
    """The effect on an outcome of an answer within so many minutes, or of any answer at all.

    Parameters
    ----------
    effects
        The table of effects.
    designs
        `[[effects]]` of the configuration, which say what is compared.
    outcome
        In the table's words: spend, margin, retention, issues.
    minutes
        Within which an answer counts; None: an answer against none.
    clock
        On which they count; None: on any. Who writes at night is answered within an hour of the business
        clock and not of the calendar: an effect of the one says nothing of the other.
    estimand
        Preferred; other rows stand in.
    exact
        Leave those others out.

    Returns
    -------
    CareEffect
        Not supported, with the reason, where there is none, or where designs that answer the same question
        disagree beyond their errors.
    """
    asked = "an answer" if minutes is None else f"an answer within {minutes:g} minutes"
    matching = [design for design in designs if _compares(design, minutes)]
    if not matching:
        reason = f"no effect of {asked} is estimated (add an [[effects]] design on cases)"
        return CareEffect(name=asked, outcome=outcome, supported=False, reason=reason)
    if minutes is not None and clock is not None:
        on_clock = [design for design in matching if clock_of(design) == clock]
        if not on_clock:
            return _of_other_clock(matching[0], outcome, clock)
        matching = on_clock
    found = [_chosen(rows, estimand, design) for design, rows in _rows_of(effects, matching, outcome)]
    if exact:
        found = [effect for effect in found if effect.estimand == estimand]
    if not found:
        names = ", ".join(f'"{design["name"]}"' for design in matching)
        reason = f'no effect of {asked} on {outcome} is estimated (add outcomes = ["{outcome}"] to {names})'
        if _estimates(effects, matching, outcome):
            reason = f"{names} holds answers against slow ones: too few cases were never answered"
        return CareEffect(name=asked, outcome=outcome, supported=False, reason=reason)
    usable = [effect for effect in found if effect.usable]
    if not usable:
        return found[0]
    return _agreed(sorted(usable, key=lambda effect: _order(effect, estimand)))


def _order(effect: CareEffect, estimand: str) -> tuple[bool, bool, int, bool, bool]:
    """Which of several is read; the smallest is."""
    return (
        effect.design != _LOT,
        bool(effect.where),
        -effect.days,
        effect.design != _CURVE,
        effect.estimand != estimand,
    )


def _agreed(usable: Sequence[CareEffect]) -> CareEffect:
    """The first of several answers to one question; none where two lie apart beyond their errors."""
    first = usable[0]
    others = [
        other
        for other in usable[1:]
        if all(getattr(other, name) == getattr(first, name) for name in _QUESTION)
        and (first.design != _LOT or other.design == _LOT)
    ]
    for other in others:
        if _errors_between(first, other) > float(ndtri(0.5 + LEVEL ** (1 / len(others)) / 2)):
            reason = (
                f'"{first.name}" says {first.value:.3g} and "{other.name}" {other.value:.3g}: they lie apart '
                "beyond their errors, so neither is used"
            )
            return replace(first, supported=False, reason=reason)
    return first


def _errors_between(one: CareEffect, two: CareEffect) -> float:
    """How many errors two effects lie apart; what counts from a later day on may be a part of the other."""
    whole, part = sorted((one, two), key=lambda effect: effect.start)
    assert whole.value is not None
    assert part.value is not None
    apart = errors_apart if whole.start == part.start else errors_outside
    return apart(whole.value, whole.error, part.value, part.error)


def _compares(design: Mapping[str, Any], minutes: float | None) -> bool:
    """Whether a design compares answered cases with others, by the given minutes."""
    treatment: Mapping[str, Any] = design.get("treatment") or {}
    within = treatment.get("first_response_minutes")
    if minutes is not None:
        return within is not None and math.isclose(float(within), minutes)
    is_against_none = design.get("control") == "unanswered" or design.get("design") == _CURVE
    return is_against_none and within is None


def clock_of(design: Mapping[str, Any]) -> Clock:
    """On which a design counts minutes."""
    return "business" if design.get("clock") == "business" else "calendar"


def _of_other_clock(design: Mapping[str, Any], outcome: str, clock: Clock) -> CareEffect:
    """Why an effect by the one clock is not used for the other."""
    name, other = design["name"], clock_of(design)
    reason = (
        f'the promise counts {clock} minutes and the effect "{name}" {other} ones, so that other customers '
        "are fast by it"
    )
    remedy = f'clock = "{clock}" in its [[effects]] entry, or in the promise clock = "{other}", and a new run'
    return CareEffect(name=name, outcome=outcome, clock=other, supported=False, reason=reason, remedy=remedy)


def _rows_of(
    effects: pl.DataFrame, designs: Iterable[Mapping[str, Any]], outcome: str
) -> Iterator[tuple[Mapping[str, Any], pl.DataFrame]]:
    if effects.is_empty():
        return
    whole = effects.filter(
        (pl.col("outcome") == outcome) & (pl.col("segment") == ALL) & (pl.col("estimator") != "naive")
    )
    if "bin" in whole.columns:  # of a curve, the row of any answer; each bin is a part
        whole = whole.filter(pl.col("bin").is_null() | (pl.col("bin") == ANY_ANSWER))
    for design in designs:
        rows = whole.filter(pl.col("name") == design["name"])
        if rows.height:
            yield design, rows


def _estimates(effects: pl.DataFrame, designs: Iterable[Mapping[str, Any]], outcome: str) -> bool:
    """Whether one of the designs has any figure on the outcome."""
    names = [design["name"] for design in designs]
    return (
        not effects.is_empty()
        and not effects.filter(
            pl.col("name").is_in(names) & (pl.col("outcome") == outcome) & pl.col("estimate").is_not_null()
        ).is_empty()
    )


def _chosen(rows: pl.DataFrame, estimand: str, design: Mapping[str, Any]) -> CareEffect:
    """The preferred estimand's row where it and the design's own first are supported, else that first."""
    wanted = rows.filter((pl.col("estimand") == estimand) & pl.col("supported"))
    is_sound = bool(rows["supported"][0]) and wanted.height > 0
    return effect_of((wanted if is_sound else rows).row(0, named=True), design)


def effect_of(row: Mapping[str, Any], design: Mapping[str, Any]) -> CareEffect:
    """A row of the table of effects, with the cases that its design is about."""
    treatment: Mapping[str, Any] = design.get("treatment") or {}
    return CareEffect(
        name=row["name"],
        outcome=row["outcome"],
        design=row["design"],
        estimand=row["estimand"],
        estimator=row["estimator"],
        value=row["estimate"],
        std_error=row["std_error"],
        low=row["low"],
        high=row["high"],
        channel=treatment.get("channel"),
        group=treatment.get("group"),
        minutes=treatment.get("first_response_minutes"),
        clock=clock_of(design),
        start=0 if row["design"] == _LOT else int(design.get("landmark_days") or 0),
        days=int(design.get("follow_up_days") or 0),
        sizes=(int(row["n_treated"] or 0), int(row["n_control"] or 0)),
        supported=bool(row["supported"]) and row["estimate"] is not None,
        reason=row["reason"],
    )


def margin_effect(
    effects: pl.DataFrame,
    designs: Sequence[Mapping[str, Any]],
    *,
    gross_margin: float | None,
    minutes: float | None = None,
    clock: Clock | None = None,
    estimand: str = "ATU",
) -> CareEffect:
    """The effect on margin: estimated itself, or that on spend times the gross margin."""
    own = find_effect(effects, designs, "margin", minutes=minutes, clock=clock, estimand=estimand)
    if own.usable:
        return own
    spend = find_effect(effects, designs, "spend", minutes=minutes, clock=clock, estimand=estimand)
    if gross_margin is None:
        reason = "[value] gross_margin is not set, so spend is no margin"
        return replace(spend, outcome="margin", value=None, supported=False, reason=spend.reason or reason)
    return spend.times(gross_margin, "margin")


def settled_by(effect: CareEffect, *, smallest: float | None) -> str:
    """What would settle an effect: its remedy where it has one, else an experiment.

    `smallest` is the effect per case from which it pays, in the effect's unit; where no answer could bring so
    much, the test is made for a fifth of a standard deviation.

    >>> effect = CareEffect(name="fast", outcome="margin", std_error=0.9, sizes=(800, 800))
    >>> settled_by(effect, smallest=2.0)
    'a lottery of priority by case id, about 1,272 cases in each arm (to see an effect of 2.00 per case)'
    """
    if effect.remedy is not None:
        return effect.remedy
    lottery = "a lottery of priority by case id"
    if not smallest or smallest <= 0 or not effect.spread:
        return lottery
    smallest = min(smallest, _SMALL * effect.spread)
    each = math.ceil(2 * _TEST * (effect.spread / smallest) ** 2)
    return f"{lottery}, about {each:,} cases in each arm (to see an effect of {smallest:,.2f} per case)"
