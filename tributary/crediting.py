"""The words of credit and effects: `credit_paths`, `credit` and `effect`, from frames to a `Result`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from histories.errors import ConfigError, DataError, ModelError, SchemaError, nearest
from tributary.desk import UNITS, Day, Origins, channel_entries, desk, to_polars
from tributary.result import Result, forest

_ADDED = ("retention", "spend", "lifetime_value")
"""Outcomes that have incremental credit."""
_CREDIT_COLUMNS = ("outcome", "channel", "credit", "low", "high", "range_low", "range_high", "supported")
_EFFECT_COLUMNS = ("treatment", "outcome", "estimator", "estimand", "estimate", "low", "high", "supported")


def credit_paths(
    paths: Any,
    *,
    methods: Sequence[str] = ("first", "last", "linear", "markov", "shapley"),
    outcome: str = "conversion",
    groups: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Result:
    """Descriptive credit of counted paths, methods side by side: who was there, not what it did.

    Parameters
    ----------
    paths
        path ("a > b" or a list), conversions, and where known value (currency) and nulls.
    methods
        Any of first, last, last_non_direct, linear, time_decay, position, markov, markov_2, markov_3,
        shapley, shapley_rate.
    outcome
        "conversion" for counts, "spend" for value.
    groups
        Channel to channel group, for subtotals.
    settings
        Keys of `[attribution]`.

    Returns
    -------
    Result
        The credits table; printed, a row per channel and a column per method. `detail` is
        `attribution.Descriptive`.
    """
    from attribution.credits.table import compare_credits
    from attribution.paths.descriptive import descriptive
    from experiments.config import parse_config

    counted = to_polars(paths, name="paths")
    if not counted.height:
        raise DataError("paths: the table is empty. Give a row for each path, with its conversions.")
    if outcome == "spend" and "value" not in counted.columns:
        raise SchemaError('paths: credit of spend needs a column "value", in currency.')
    found = descriptive(
        counted,
        methods=_several(methods),
        outcome=outcome,
        groups=groups or {},
        settings=parse_config({"attribution": dict(settings or {})}, place="settings").attribution,
    )
    beside = compare_credits(found.credits).drop("outcome", "segment", "period", "channel_group")
    return Result(
        title=f"Descriptive credit of {outcome}, by method",
        frame=found.credits.frame,
        notes=("Path methods hand out the whole outcome: they say who was there, not what it did.",),
        shown=beside,
        detail=found,
        draw=lambda: forest(
            found.credits.frame.filter(pl.col("level") == "channel")
            .with_columns(name=pl.format("{}, {}", "channel", "method"))
            .sort("channel", maintain_order=True),
            "name",
            "credit",
            f"Descriptive credit of {outcome}",
        ),
    )


def credit(
    transactions: Any,
    touchpoints: Any,
    customers: Any = None,
    *,
    channels: Origins,
    cases: Any = None,
    observation_end: Day | None = None,
    outcomes: Sequence[str] = ("retention", "spend"),
    settings: Mapping[str, Any] | None = None,
    **about: Any,
) -> Result:
    """Incremental credit by channel, above a baseline of what would have happened anyway.

    Parameters
    ----------
    transactions, touchpoints, customers, cases
        Frames with the columns of the input tables; amounts in currency. `customers.ended_at` says who left;
        without it leaving is silent and modelled.
    channels
        Channel to who acts in it, "customer" or "firm", or to {"origin": …, "group": …}.
    observation_end
        Last day that counts; by default the last one in the data.
    outcomes
        Any of retention (customers), spend (currency), lifetime_value (currency).
    settings
        Keys of `[attribution]`: `confounders`, `segments`, `period`, `replicates`, …
    about
        Further keys of a run's configuration.

    Returns
    -------
    Result
        The incremental rows of the credits table: channels + (baseline) = (total).

    Raises
    ------
    ConfigError
        When an outcome has no incremental credit, or `methods` leaves it out.
    ModelError
        When no credit can be estimated; the message says why.
    """
    from experiments.parts.incremental import incremental_part
    from experiments.parts.value import value_part

    if touchpoints is None:
        raise DataError(
            "credit: there are no touchpoints. Give a frame with customer_id, timestamp and channel."
        )
    outcomes = _several(outcomes)
    chosen = {"methods": ["incremental"], "outcomes": list(outcomes), **(settings or {})}
    for outcome in outcomes:
        if outcome not in _ADDED:
            raise ConfigError(f'credit: "{outcome}" has no incremental credit; {nearest(outcome, _ADDED)}')
    if "incremental" not in chosen["methods"]:
        raise ConfigError(
            "credit: settings.methods leaves out incremental, the one that credit is of. Who was there, by "
            "first, last or linear touch, is told by credit_paths, or by a run."
        )
    tables = {
        "transactions": transactions,
        "touchpoints": touchpoints,
        "customers": customers,
        "cases": cases,
    }
    cuts: dict[str, Any] = {"observation_end": observation_end, "channels": channel_entries(channels)}
    with desk(tables, attribution=chosen, **cuts, **about) as made:
        worth = value_part(made.config, made.histories) if "lifetime_value" in outcomes else None
        residual = None if worth is None else worth.residual_value
        part = incremental_part(made.config, made.histories, residual, None)
    if part.credits is None:
        raise ModelError("; ".join(part.left_out.values()))
    credited = part.credits.filter(pl.col("level") == "channel")
    whole = part.credits.filter((pl.col("segment") == "(all)") & (pl.col("level") != "group"))
    return Result(
        title="Incremental credit by channel: retention in customers, money in currency",
        frame=part.credits,
        notes=(*made.histories.all_notes, *part.notes, *_reasons(credited, "channel")),
        shown=whole.select(_CREDIT_COLUMNS),
        draw=lambda: forest(
            whole.filter((pl.col("level") == "channel") & (pl.col("outcome") == outcomes[-1])),
            "channel",
            "credit",
            f"Incremental credit of {outcomes[-1]}",
        ),
    )


def effect(
    table: Any = None,
    *,
    outcomes: Sequence[str],
    arm: str | None = None,
    control: str | float | None = None,
    unit: str | None = None,
    design: str = "randomised",
    name: str = "effect",
    treatment: Mapping[str, Any] | None = None,
    tables: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
    **choices: Any,
) -> Result:
    """The effect of a treatment, with the checks that say how far to believe it.

    Parameters
    ----------
    table
        One row per unit; None for a design on the histories of `tables`.
    outcomes
        Columns of the table, or outcomes of the histories ("spend", "retention").
    arm, control
        Column that holds the arm, and the name of the control arm; for a design on histories `control` is
        "slower", "unanswered" or "no_contact".
    unit
        Column with the unit's id; None where each row is a unit.
    design
        As in `[[effects]]`: "randomised", "observational", "targeting", or a design on histories.
    name
        What the effect is called.
    treatment
        Further keys of the treatment: `arms`, `shares`, or the filters of a design on histories.
    tables
        Frames by table name, for designs on histories.
    about
        Keys of a run's configuration, for designs on histories.
    choices
        Further keys of `[[effects]]`: `covariates`, `segments`, `landmark_days`, …

    Returns
    -------
    Result
        One row per outcome and estimator; `detail` is `attribution.effects.EffectsResult`.
    """
    from experiments.parts.evidence import evidence_part

    treatment = dict(treatment or {})
    entry: dict[str, Any] = {"name": name, "design": design, "outcomes": list(_several(outcomes)), **choices}
    if table is not None:
        columns = {} if unit is None else {"unit": unit}
        entry["table"] = {"path": UNITS, "columns": columns}
        named = (("column", arm), ("control", control))
        treatment |= {key: _arm(given) for key, given in named if given is not None}
    elif control is not None:
        entry["control"] = control
    entry["treatment"] = treatment
    with desk(tables or {}, units=table, effects=[entry], **(about or {})) as made:
        found = evidence_part(made.config, made.histories)
    assert found is not None
    whole = found.frame.filter(pl.col("segment") == "(all)")
    shown = whole.select(_EFFECT_COLUMNS)
    return Result(
        title=f"{name}: {design}",
        frame=found.frame,
        notes=(*made.histories.all_notes, *found.notes, *_reasons(whole, "outcome")),
        shown=shown,
        detail=found,
        draw=lambda: forest(
            shown.with_columns(label=pl.format("{}, {}, {}", "outcome", "treatment", "estimator")),
            "label",
            "estimate",
            f"{name}: effect on {', '.join(_several(outcomes))}",
        ),
    )


def _several(names: str | Sequence[str]) -> tuple[str, ...]:
    """Names as a tuple; a single one may be bare."""
    return (names,) if isinstance(names, str) else tuple(names)


def _arm(name: Any) -> str:
    """An arm as its column reads as text: flags are "true" and "false"."""
    return str(name).lower() if isinstance(name, bool) else str(name)


def _reasons(figures: pl.DataFrame, of: str) -> tuple[str, ...]:
    """Why figures are not supported, each reason once with what it is `of`."""
    against = figures.filter(~pl.col("supported")).unique([of, "reason"], maintain_order=True)
    grouped = against.group_by("reason", maintain_order=True).agg(of)
    return tuple(f"Not supported ({', '.join(names)}): {why}" for why, names in grouped.iter_rows())
