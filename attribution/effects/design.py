"""EffectDesign: one `[[effects]]` entry of the configuration, checked when it is read."""

from __future__ import annotations

from dataclasses import field
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs

from histories.reading.sources import TableSource

Design = Literal[
    "randomised",
    "observational",
    "targeting",
    "landmark",
    "matched_before_after",
    "interrupted_series",
    "dose",
    "time_varying",
    "synthetic_control",
    "tracked",
    "response_curve",
    "queue",
    "agent",
    "incident",
    "ever_contacted",
]
MOVED = ("queue", "agent")
"""Designs on cases whose answer something moved: the queue that they met, or who was at work."""
OF_CASES = ("response_curve", *MOVED, "incident")
"""Designs whose units are cases, each from its opening."""
DEFAULT_BINS = (15.0, 60.0, 240.0, 1440.0)
"""Minutes to the first answer at which one bin of a response curve ends and the next begins."""
MOST_BINS = 12
RATED_WITHIN = 14
"""Days after its opening by which a case is rated, where nobody says otherwise."""
NOT_OF_UNITS = (
    "timezone",
    "constants",
    "values",
    "negate",
    "units",
    "zero_orders",
    "amounts",
)
"""Options of an input table that say nothing of a table of units."""

Control = Literal["slower", "unanswered", "no_contact", "reactive"]
CONTROLS: tuple[str, ...] = Control.__args__  # type: ignore[attr-defined]

CONTROL_WORDS: dict[Control, str] = {
    "slower": "answered later",
    "unanswered": "not answered",
    "no_contact": "no contact",
    "reactive": "asked first",
}

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Treatment:
    """What is done to the treated.

    The keys of contacts are filters; every one given must hold.

    Attributes
    ----------
    column
        Of a table: the column that holds the arm.
    control
        Name of the control arm.
    arms
        Arms to read; by default all others.
    shares
        Planned share of units per arm.
    experiment
        Name in `assignments`; by default the design's name.
    group, channel, kind, direction, proactive, campaign
        Of contacts: their channel's group, channel, kind ("care", "marketing", …), who speaks ("inbound",
        "outbound"), whether the brand spoke first, and campaign.
    first_response_minutes
        A case is treated when the brand first answered within this time. Of an experiment: what an answer in
        time did is told before what the arms did.
    intervention
        Of the change log: names of `interventions`; by default all.
    """

    column: str | None = None
    control: str | None = None
    arms: tuple[str, ...] | None = None
    shares: dict[str, float] | None = None
    experiment: str | None = None
    group: str | None = None
    channel: str | None = None
    kind: str | None = None
    direction: Literal["inbound", "outbound"] | None = None
    proactive: bool | None = None
    campaign: str | None = None
    first_response_minutes: float | None = Field(default=None, gt=0, le=1e7, allow_inf_nan=False)
    intervention: str | None = None


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class EffectDesign:
    """One comparison to make. Times in days; outcomes and covariates are names.

    Attributes
    ----------
    name
        What the effect is called, in tables and in the report.
    design
        How treated and control are compared.
    treatment
        Who is treated: an arm of a table or experiment, or filters over contacts.
    control
        Of a landmark: against whom. Of a response curve: `unanswered` for those never answered, or `slower`
        for those answered last; by default the former where there are enough.
    table
        A table with one row per unit, from a file of any form (see the options of input tables), columns our
        names (`unit`) to the table's; without one the design is on the histories.
    outcomes
        Columns of the table, or outcomes of customers such as "retention" and "spend".
    covariates
        What is adjusted for; known before the start.
    segments
        Columns by whose values the effect is read, too; `"care_user x spend"` crosses two.
    follow_up_days
        How long after the start outcomes count.
    before
        For each outcome, the covariate that is the same metric before the start; it feeds CUPED and the
        placebo. Found by itself as `<outcome>_before` or `pre_<outcome>`, and made from the histories for
        `assignments`.
    landmark_days
        Follow-up begins this long after the index date; who is treated is settled within it.
    washout_days
        An index date needs this long without a contact of the same kind before it.
    at_risk_days
        A customer is at risk on a day when the last purchase is no older than this.
    controls_per_treated
        Pseudo-index dates drawn for each treated customer when the control is `no_contact`.
    min_segment
        Smallest number of treated, and of control units, for which a segment is read.
    cost_per_treated
        Cost of treating one unit, in currency; default: mean cost of the treated contacts, where known.
    series
        Length of one step of an interrupted series, an event study or a synthetic control.
    instrument
        Column of the table that moves the treatment and touches the outcome in no other way.
    assigned
        Of `targeting`: whether the treatment was assigned at random.
    bins
        Of a response curve: minutes to the first answer at which one bin ends and the next begins.
    clock
        Of a design on cases, and of a landmark by minutes to the first answer: whether those are the
        calendar's, or inside opening hours.
    sequential
        The experiment is read while it runs: intervals become always-valid, narrowest at this planned
        number of units.
    """

    name: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")
    design: Design
    treatment: Treatment = Field(default_factory=Treatment)
    control: Control | None = None
    table: TableSource | None = None
    outcomes: tuple[str, ...] = Field(min_length=1)
    covariates: tuple[str, ...] = ()
    before: dict[str, str] = field(default_factory=dict)
    segments: tuple[str, ...] = ()
    landmark_days: int = Field(default=30, ge=0, le=36_525)
    follow_up_days: int = Field(default=180, ge=1, le=36_525)
    washout_days: int = Field(default=90, ge=0, le=36_525)
    at_risk_days: int = Field(default=365, ge=1, le=36_525)
    controls_per_treated: int = Field(default=3, ge=1, le=100)
    min_segment: int = Field(default=100, ge=10, le=10**9)
    cost_per_treated: float | None = Field(default=None, ge=0, le=1e12, allow_inf_nan=False)
    series: Literal["day", "week", "month"] = "week"
    instrument: str | None = None
    assigned: bool = True
    bins: tuple[Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)], ...] = DEFAULT_BINS
    clock: Literal["calendar", "business"] = "calendar"
    sequential: int | None = Field(default=None, ge=1, le=10**12)

    @model_validator(mode="before")
    @classmethod
    def _of_cases(cls, given: Any) -> Any:
        """Cases are followed from their opening, and again after four weeks, where nobody says otherwise."""
        keys = given.kwargs if isinstance(given, ArgsKwargs) else given
        if isinstance(keys, dict) and keys.get("design") in OF_CASES:
            keys.setdefault("landmark_days", RATED_WITHIN if keys.get("design") == "incident" else 0)
            keys.setdefault("washout_days", 28)
        return given

    @model_validator(mode="after")
    def _complete(self) -> EffectDesign:
        for problem in _missing(self):
            raise ValueError(f'effect "{self.name}": {problem}')
        return self

    @property
    def treatment_label(self) -> str:
        """The treatment in words, for the `effects` table."""
        treatment = self.treatment
        words = [word for word in (treatment.group, treatment.channel, treatment.kind) if word]
        if treatment.proactive is not None:
            words.insert(0, "proactive" if treatment.proactive else "reactive")
        words += [word for word in (treatment.direction, treatment.campaign) if word]
        if treatment.first_response_minutes is not None:
            words.append(f"first response within {treatment.first_response_minutes:g} minutes")
        elif self.design == "landmark" and self.control == "unanswered":
            words.append("answered")
        if treatment.intervention:
            words.append(treatment.intervention)
        if self.design == "incident":
            words.append("rated 1 or bitter in tone")
        on_table = self.design in ("randomised", "observational", "targeting")
        return " ".join(words) or ("treated" if on_table else "any contact")

    @property
    def answers_against(self) -> str:
        """What an answer is compared with where chance decides, in words."""
        return CONTROL_WORDS["unanswered"] if self.control == "unanswered" else "answered later or never"

    @property
    def control_label(self) -> str:
        """The control in words, for the `effects` table."""
        if self.treatment.control is not None:
            return self.treatment.control
        if self.control is not None:
            return CONTROL_WORDS[self.control]
        others = {
            "interrupted_series": "continued trend",
            "synthetic_control": "weighted other channels",
            "dose": "one contact fewer",
            "matched_before_after": "matched customers",
            "time_varying": "not yet contacted",
            "tracked": "untracked customers",
            "response_curve": "never answered",
            "queue": "answered later or never",
            "agent": "answered later or never",
            "incident": "cases that ended otherwise",
            "ever_contacted": "never contacted",
        }
        return others.get(self.design, "control")


def _missing_of_cases(design: EffectDesign) -> list[str]:
    """What a design on cases lacks, or has too much."""
    problems = []
    limit = design.treatment.first_response_minutes
    if design.table is not None:
        problems.append(f'design = "{design.design}" reads the cases and takes no table')
    if design.design in MOVED:
        if limit is None:
            problems.append(
                f"{design.design} needs treatment.first_response_minutes: up to when an answer is a fast one"
            )
        if design.bins != DEFAULT_BINS:
            problems.append('bins belong to design = "response_curve"')
        if design.control is not None:
            problems.append(
                f"{design.design} compares with all who were answered later or never; leave control out"
            )
        return problems
    if design.design == "incident":
        if limit is not None or design.control is not None or design.bins != DEFAULT_BINS:
            problems.append("incident compares by rating and tone; leave limits, control and bins out")
        return problems
    rising = all(a < b for a, b in pairwise(design.bins))
    if not design.bins or not rising or len(design.bins) > MOST_BINS:
        told = ", ".join(f"{edge:g}" for edge in design.bins) or "none"
        problems.append(
            f"bins = {told}; allowed: 1 to {MOST_BINS} rising numbers of minutes, as 15, 60, 240, 1440"
        )
    if limit is not None:
        problems.append(
            "a response curve takes its limits from bins, not from treatment.first_response_minutes"
        )
    if design.control in ("no_contact", "reactive"):
        problems.append('a response curve compares answers: control = "unanswered" or "slower"')
    return problems


def _missing(design: EffectDesign) -> list[str]:
    """What a design lacks to be estimated, in words that say what to write."""
    treatment = design.treatment
    problems = []
    if design.design == "landmark" and design.control is None:
        problems.append(
            f"a landmark needs control = one of {', '.join(CONTROLS)}; everybody else is no comparison, "
            "because customers have to stay long enough to be contacted"
        )
    if design.control == "reactive" and (design.design != "landmark" or treatment.proactive is not True):
        problems.append('control = "reactive" belongs to a landmark of treatment = { proactive = true }')
    if design.control == "slower" and treatment.first_response_minutes is None:
        problems.append('control = "slower" needs treatment.first_response_minutes')
    if design.design in OF_CASES:
        problems += _missing_of_cases(design)
    elif design.bins != DEFAULT_BINS:
        problems.append(f"bins belong to a design on cases: {', '.join(OF_CASES)}")
    by_minutes = design.design in ("landmark", "randomised") and treatment.first_response_minutes is not None
    if design.design not in OF_CASES and design.clock != "calendar" and not by_minutes:
        problems.append(
            f"clock belongs to {', '.join(OF_CASES)}, and a landmark or an experiment with "
            "first_response_minutes"
        )
    if design.design == "randomised" and treatment.control is None:
        problems.append("a randomised design needs treatment.control, the name of the control arm")
    if design.design == "randomised" and design.table is not None and treatment.column is None:
        problems.append("a design on a table needs treatment.column, the column that holds the arm")
    if design.design in ("observational", "targeting"):
        if design.table is None or treatment.column is None or treatment.control is None:
            problems.append(
                f"{design.design} needs table = {{ path = … }}, treatment.column and treatment.control"
            )
    elif design.instrument is not None:
        problems.append('an instrument belongs to design = "observational"')
    if design.table is not None:
        plain = TableSource(path=design.table.path)
        problems += [
            f"table.{option} is of input tables; a table of units is read by its own columns"
            for option in NOT_OF_UNITS
            if getattr(design.table, option) != getattr(plain, option)
        ]
    if treatment.column is not None and design.table is None:
        problems.append("treatment.column needs a table = { path = … } to look in")
    return problems
