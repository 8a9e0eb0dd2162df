"""Findings: what one design gives back, and what all of them give back together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from attribution.effects.effect import Effect, effects_frame, format_effects
from attribution.effects.estimators.checks import CHECKS_SCHEMA, Check, checks_frame

_TEXT, _REAL, _COUNT = pl.String(), pl.Float64(), pl.Int64()

PICTURE_SCHEMAS: dict[str, dict[str, pl.DataType]] = {
    "forest": {
        "name": _TEXT,
        "outcome": _TEXT,
        "segment": _TEXT,
        "treatment": _TEXT,
        "label": _TEXT,
        "estimator": _TEXT,
        "estimate": _REAL,
        "low": _REAL,
        "high": _REAL,
        "supported": pl.Boolean(),
        "position": _COUNT,
    },
    "love": {"name": _TEXT, "treatment": _TEXT, "covariate": _TEXT, "before": _REAL, "after": _REAL},
    "overlap": {"name": _TEXT, "group": _TEXT, "low": _REAL, "high": _REAL, "share": _REAL},
    "event_study": {
        "name": _TEXT,
        "outcome": _TEXT,
        "period": _COUNT,
        "estimate": _REAL,
        "low": _REAL,
        "high": _REAL,
        "n_treated": _COUNT,
    },
    "series": {
        "name": _TEXT,
        "outcome": _TEXT,
        "date": pl.Date(),
        "observed": _REAL,
        "counterfactual": _REAL,
        "low": _REAL,
        "high": _REAL,
        "after": pl.Boolean(),
    },
    "dose": {
        "name": _TEXT,
        "outcome": _TEXT,
        "dose": _TEXT,
        "position": _COUNT,
        "estimate": _REAL,
        "low": _REAL,
        "high": _REAL,
        "n": _COUNT,
        "supported": pl.Boolean(),
    },
    "tests": {
        "name": _TEXT,
        "outcome": _TEXT,
        "test": _TEXT,
        "hypothesis": _TEXT,
        "statistic": _REAL,
        "p_value": _REAL,
        "p_holm": _REAL,
        "family": _COUNT,
    },
    "segment_margins": {
        "name": _TEXT,
        "segment": _TEXT,
        "n_treated": _COUNT,
        "incremental_margin": _REAL,
        "low": _REAL,
        "high": _REAL,
        "cost": _REAL,
        "net": _REAL,
        "supported": pl.Boolean(),
    },
    "tracked": {
        "name": _TEXT,
        "measure": _TEXT,
        "tracked": _REAL,
        "untracked": _REAL,
        "standardised_difference": _REAL,
        "n_tracked": _COUNT,
        "n_untracked": _COUNT,
    },
    "qini": {
        "name": _TEXT,
        "outcome": _TEXT,
        "share": _REAL,
        "gain": _REAL,
        "low": _REAL,
        "high": _REAL,
        "random": _REAL,
    },
    "targets": {
        "name": _TEXT,
        "outcome": _TEXT,
        "row": _COUNT,
        "effect": _REAL,
        "treat": pl.Boolean(),
    },
    "checks": CHECKS_SCHEMA,
}
"""The frames a chart or a table of the evidence section is drawn from, with their columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one design found.

    Attributes
    ----------
    effects
        In order of preference within each outcome.
    checks
        Each check with the effect that went through it.
    pictures
        Frames by name of `PICTURE_SCHEMAS`.
    cost_per_treated
        Mean recorded cost of treating one unit, in currency; None where unknown.
    notes
        What was left out of the comparison, in sentences.
    """

    effects: tuple[Effect, ...]
    checks: tuple[tuple[Effect, Check], ...] = ()
    pictures: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    cost_per_treated: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectsResult:
    """All effects of a run, in the order of the configuration, with the frames their pictures are drawn from.

    `pictures` always has every name of `PICTURE_SCHEMAS`, empty where nothing was drawn; `notes` say which
    units or markets of a design's own table are left out.
    """

    effects: tuple[Effect, ...]
    pictures: Mapping[str, pl.DataFrame]
    notes: tuple[str, ...] = ()

    @property
    def frame(self) -> pl.DataFrame:
        """The `effects` table."""
        return effects_frame(self.effects)

    def headline(self, name: str, outcome: str) -> Effect | None:
        """The effect chosen beforehand for a design and outcome, supported or not; None without one."""
        chosen = (e for e in self.effects if e.name == name and e.outcome == outcome and not _beside(e))
        return next(chosen, None)

    def __str__(self) -> str:
        return format_effects(self.effects)


def _beside(effect: Effect) -> bool:
    """Whether an effect is shown for comparison only: a naive figure or a segment."""
    return effect.estimator == "naive" or effect.segment != "(all)"


def join_findings(parts: Sequence[Findings], outcomes: Sequence[str]) -> Findings:
    """Findings of one design whose outcomes were estimated apart, in the order of `outcomes`.

    Pictures that are of no outcome are the first part's.
    """
    first, *others = parts
    pictures = dict(first.pictures)
    for part in others:
        for name, frame in part.pictures.items():
            if name not in pictures:
                pictures[name] = frame
            elif "outcome" in frame.columns:
                pictures[name] = pl.concat([pictures[name], frame])
    return Findings(
        effects=tuple(
            sorted((e for part in parts for e in part.effects), key=lambda e: outcomes.index(e.outcome))
        ),
        checks=tuple(pair for part in parts for pair in part.checks),
        pictures=pictures,
        cost_per_treated=first.cost_per_treated,
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def collect_findings(found: Iterable[Findings]) -> EffectsResult:
    """One result out of the findings of all designs."""
    findings = list(found)
    effects = tuple(effect for one in findings for effect in one.effects)
    checks = [pair for one in findings for pair in one.checks]
    pictures = {name: _stack(findings, name) for name in PICTURE_SCHEMAS}
    pictures["checks"] = checks_frame(checks)
    pictures["forest"] = forest_frame(effects)
    return EffectsResult(
        effects=effects, pictures=pictures, notes=tuple(note for one in findings for note in one.notes)
    )


def forest_frame(effects: Iterable[Effect]) -> pl.DataFrame:
    """Rows of a forest plot, in order: every effect with a figure, the naive ones included."""
    rows = [
        {
            **{key: getattr(e, key) for key in ("name", "outcome", "segment", "treatment", "estimator")},
            "label": _forest_label(e),
            **{key: getattr(e, key) for key in ("estimate", "low", "high", "supported")},
        }
        for e in effects
        if e.estimate is not None
    ]
    rows = [{**row, "position": position} for position, row in enumerate(rows)]
    return pl.DataFrame(rows, schema=PICTURE_SCHEMAS["forest"])


def _forest_label(effect: Effect) -> str:
    """How a row of the forest plot is called."""
    how = effect.estimator.replace("_", " ")
    words = [how if effect.estimator == "naive" else f"{how} ({effect.estimand})"]
    if effect.design == "randomised":
        words.insert(0, effect.treatment)
    if effect.segment != "(all)":
        words.insert(0, effect.segment)
    return ", ".join(words)


def _stack(findings: list[Findings], name: str) -> pl.DataFrame:
    """The frames of one picture below each other, typed."""
    schema = PICTURE_SCHEMAS[name]
    frames = [one.pictures[name] for one in findings if name in one.pictures]
    if not frames:
        return pl.DataFrame(schema=schema)
    return pl.concat([frame.select(list(schema)).cast(schema) for frame in frames])  # type: ignore[arg-type]
