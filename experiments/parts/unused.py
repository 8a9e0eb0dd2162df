"""Tables that were given and made nothing, each with the reason: nobody shall think that they counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import polars as pl

from attribution.effects.design import OF_CASES
from experiments.config import RunConfig
from experiments.parts.histories import Histories

Made = Mapping[str, pl.DataFrame]
Reason = Callable[[RunConfig, Histories, Made], str | None]

_OF_CHANGE_LOG: Final = ("interrupted_series", "synthetic_control")


def unused_tables(config: RunConfig, histories: Histories, made: Made) -> dict[str, str]:
    """Why each table that was given and left no trace in any figure left none, by the table's name.

    `made` are the bundle's tables.
    """
    reasons = {
        name: reason(config, histories, made)
        for name, reason in _REASONS.items()
        if name in histories.inputs.tables
    }
    return {f"table {name}": reason for name, reason in reasons.items() if reason is not None}


def _has(made: Made, name: str) -> bool:
    return name in made and not made[name].is_empty()


def _has_incremental(made: Made) -> bool:
    return _has(made, "credits") and "incremental" in made["credits"]["kind"]


def _customers(config: RunConfig, histories: Histories, made: Made) -> str | None:
    if _has(made, "customers") or _has(made, "credits") or _has(made, "effects"):
        return None
    return "customers describe those who bought or were contacted; no figure was made of either"


def _identities(config: RunConfig, histories: Histories, made: Made) -> str | None:
    touches = histories.inputs.tables.get("touchpoints")
    if "posts" in histories.inputs.tables and _has(made, "care"):
        return None
    if touches is None or "handle" not in touches.columns:
        return "no touchpoint has a platform and handle to look up; only the service finds customers by them"
    return None


def _posts(config: RunConfig, histories: Histories, made: Made) -> str | None:
    return None if _has(made, "care") else "no figure was made of posts"


def _hours(config: RunConfig, histories: Histories, made: Made) -> str | None:
    return None if _has(made, "care") else "no service figure was made that needs opening hours"


def _cases(config: RunConfig, histories: Histories, made: Made) -> str | None:
    touches = histories.touchpoints
    answers = touches is not None and touches.select(pl.col("replied").is_not_null().any()).collect().item()
    if _has(made, "care") or (answers and _has(made, "credits")):
        return None
    read = {"slower", "unanswered"} & {effect.control for effect in config.effects}
    if any(effect.design in OF_CASES for effect in config.effects) and _has(made, "effects"):
        return None
    if (read and _has(made, "effects")) or (config.attribution.confounders and _has_incremental(made)):
        return None
    return "no touchpoint has the case_id of one, and no effect compares answers"


def _costs(config: RunConfig, histories: Histories, made: Made) -> str | None:
    served = _has(made, "costs") and _has(made, "customers")
    if (
        served
        or _has(made, "roi")
        or _has(made, "returns")
        or (_has(made, "credits") and made["credits"]["cost"].is_not_null().any())
    ):
        return None
    if not _has(made, "credits"):
        return "no credit was made to hold against them"
    return "no credited channel has a cost in the observed time"


def _assignments(config: RunConfig, histories: Histories, made: Made) -> str | None:
    if any(effect.design == "randomised" and effect.table is None for effect in config.effects):
        return None
    return 'no [[effects]] entry of design = "randomised" reads them'


def _interventions(config: RunConfig, histories: Histories, made: Made) -> str | None:
    if any(effect.design in _OF_CHANGE_LOG for effect in config.effects):
        return None
    if histories.purchases is not None or _has(made, "care"):
        return None
    return (
        "no [[effects]] entry of design = "
        + " or ".join(f'"{name}"' for name in _OF_CHANGE_LOG)
        + " reads it"
    )


def _calendar(config: RunConfig, histories: Histories, made: Made) -> str | None:
    if config.value.dynamic_covariates:
        return None
    return "[value] dynamic_covariates names none of its columns"


def _assumptions(config: RunConfig, histories: Histories, made: Made) -> str | None:
    return None if _has(made, "returns") else "no return was made that rests on them"


def _paths(config: RunConfig, histories: Histories, made: Made) -> str | None:
    if histories.touchpoints is not None and histories.purchases is not None:
        return "touchpoints and transactions hold the journeys themselves"
    return None


def _transitions(config: RunConfig, histories: Histories, made: Made) -> str | None:
    if "paths" in histories.inputs.tables:
        return "paths hold the transitions"
    return _paths(config, histories, made)


_REASONS: Final[dict[str, Reason]] = {
    "customers": _customers,
    "identities": _identities,
    "hours": _hours,
    "posts": _posts,
    "cases": _cases,
    "costs": _costs,
    "assignments": _assignments,
    "interventions": _interventions,
    "calendar": _calendar,
    "assumptions": _assumptions,
    "paths": _paths,
    "transitions": _transitions,
}
