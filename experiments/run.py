"""The whole story: checked tables, histories, values, credits, effects, report, MLflow run, bundle."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from care.allocation import WORK, Allocation
from experiments.arrivals import recent_orders
from experiments.brands import wrote_first
from experiments.bundle.sources import drawn_rows
from experiments.bundle.writing import bundle_folder, refuse_place, write_bundle
from experiments.checks import check_run
from experiments.config import RunConfig
from experiments.consents import latest_consents, with_consents
from experiments.engine import Progress, read_memory, workplace
from experiments.inputs import ID_KEY, key_of_handles, read_inputs
from experiments.metrics import run_metrics
from experiments.parts.care import CarePart, care_part, find_cases
from experiments.parts.changes import changes_part
from experiments.parts.costs import (
    ChannelCosts,
    channel_costs,
    costs_by_quarter,
    returns_part,
    unallocated_notes,
)
from experiments.parts.credit import CreditPart, credit_part
from experiments.parts.declared import declared_part
from experiments.parts.engagement import engagement_part
from experiments.parts.evidence import evidence_part
from experiments.parts.forecasts import forecasts_part, ledger_before
from experiments.parts.histories import PURCHASES, TOUCHPOINTS, Histories, build_histories
from experiments.parts.matters import AllCases
from experiments.parts.objectives import objectives_part
from experiments.parts.part import Part, attempt
from experiments.parts.profiles import profiles_table
from experiments.parts.statement import Statement, statement_part
from experiments.parts.unused import unused_tables
from experiments.parts.value import ValuePart, value_part
from experiments.parts.walking import told_purchases, told_touchpoints
from experiments.report import previous_report
from experiments.segments import count_segments
from experiments.summary import summarize_run
from experiments.tombstones import drop_erased, load_tombstones
from experiments.tracking import OpenRun, flatten, open_run
from histories.house import code_version, version
from histories.identity import IDENTITY_KEY, identities_table, key_check
from reports.build import build_context, render_report
from reports.sources import ReportSources

Step = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a run found, before it is told or stored.

    `large` are the tables with a row for each touch, purchase or customer and channel, in the order of the
    customers; they need not fit in memory.
    """

    tables: Mapping[str, pl.DataFrame]
    large: Mapping[str, pl.LazyFrame]
    model: Mapping[str, Any]
    pictures: Mapping[str, pl.DataFrame]
    left_out: Mapping[str, str]
    notes: tuple[str, ...]
    refuted: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """Where a run's bundle is, and what to tell of it.

    Attributes
    ----------
    summary
        Columns figure, value: the dozen lines that a terminal shows.
    notes
        What looks wrong or is to be known, one sentence or two each; the manifest keeps them.
    """

    run_id: str
    name: str
    bundle: Path
    headline: str
    summary: pl.DataFrame
    left_out: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values; frames stay frames."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def run_experiment(
    config: RunConfig,
    *,
    runs: Path,
    mlruns: Path,
    out: Path | None = None,
    step: Step = lambda text: None,
    label: str | None = None,
    tags: Mapping[str, str] | None = None,
    memory: str | None = None,
    engine: str = "local",
    delivered: Mapping[str, Any] | None = None,
) -> RunResult:
    """Run a configuration from its tables to a bundle.

    Parameters
    ----------
    config
        What to read and what to make of it.
    runs, mlruns
        Folders of the bundles and of MLflow.
    out
        The bundle's folder; by default a new one under `runs`.
    step
        Called with a few words when a part begins.
    label, tags
        What MLflow calls the run (by default the configuration's name), and further tags.
    memory
        What the run may take, such as "2GB": histories are then split by customer, kept on disk under `runs`
        and computed a part at a time. Without it everything is in memory.
    engine
        "local" or "spark".
    delivered
        The files that are counted, for the manifest; see `experiments.following`.

    Raises
    ------
    TributaryError
        When the configuration, the data or every model is refused, or the disk is full; MLflow keeps the run
        as failed. A folder that is taken is refused before anything begins.
    """
    progress = Progress(step)
    refuse_place(out, runs)
    if memory is not None:
        read_memory(memory)
        config = replace(config, limits=replace(config.limits, memory=memory))
    told = {"tributary.version": version(), **(tags or {})}
    with (
        workplace(engine, memory=memory, runs=runs, told=progress.told) as place,
        open_run(config.name, mlruns=mlruns, tags=told, label=label) as record,
    ):
        progress("Checking the tables")
        key = key_of_handles(config)
        inputs = read_inputs(config, work_dir=place.folder)
        check_run(config, inputs)
        place.begin(config, inputs)
        progress("Building histories")
        histories = build_histories(config, inputs, engine=place.engine)
        found = find(config, histories, step=progress)
        left_out = dict(found.left_out)
        before = attempt(left_out, "promises", lambda: ledger_before(runs, config.name))
        ledger = attempt(
            left_out,
            "promises",
            lambda: forecasts_part(
                histories,
                found.tables,
                model=found.model,
                objectives=found.pictures.get("objectives"),
                before=before,
                run_id=record.run_id,
                wrote=None if config.brand is None else wrote_first(inputs),
            ),
        )
        tables = {**found.tables, **({} if ledger is None else {"forecasts": ledger})}
        found = replace(found, tables=tables, notes=(*found.notes, *place.engine.notes))
        progress("Writing the report and the bundle")
        manifest = _manifest(config, histories, found, record.run_id) | {
            "left_out": left_out,
            "identities_check": key_check(key),
            "delivered": delivered,
        }
        manifest["segments"] = attempt(left_out, "segments", lambda: _segments(config, found)) or []
        previous = attempt(left_out, "what changed", lambda: previous_report(config, runs))
        folder = out or bundle_folder(runs, config.name, record.run_id)
        tables, _ = drop_erased(load_tombstones(folder.parent), found.tables)  # the report shall quote none
        found = replace(found, tables=tables)
        headline, files = _report(config, found, manifest, left_out, previous)
        bundle = write_bundle(
            folder,
            tables={**found.tables, **_identities(histories, key, left_out)},
            large=found.large,
            manifest=manifest,
            model=found.model,
            files=files,
            rejected={name: table.rejected for name, table in inputs.tables.items()},
            pictures=found.pictures,
        )
        progress("Keeping the run")
        with record.keeping(bundle):
            _log(record, config, histories, found, bundle)
        summary = summarize_run(found.tables, found.model, purchases=histories.rows(PURCHASES))
    return RunResult(
        run_id=record.run_id,
        name=config.name,
        bundle=bundle,
        headline=headline,
        summary=summary,
        left_out=left_out,
        notes=found.notes,
    )


def _identities(histories: Histories, key: bytes | None, left_out: dict[str, str]) -> dict[str, pl.DataFrame]:
    """The table by which the service finds who is behind a handle; none without identities."""
    rows = histories.table("identities")
    if rows is None:
        return {}
    if key is None:
        left_out["identities"] = (
            "without a secret key handles could be guessed from their digests, so the bundle holds none and "
            f"the service finds nobody by them. Set {IDENTITY_KEY}, or identity.key_file"
        )
        return {}
    day = histories.inputs.observation_end
    made = attempt(left_out, "identities", lambda: identities_table(rows, key, day))
    return {} if made is None else {"identities": made}


def _report(
    config: RunConfig,
    found: Findings,
    manifest: Mapping[str, Any],
    left_out: dict[str, str],
    previous: Mapping[str, Any] | None,
) -> tuple[str, dict[str, bytes]]:
    """The headline and the report's files; without them, why, in `left_out`."""
    sources = ReportSources(
        tables={**found.tables, **{name: drawn_rows(name, rows) for name, rows in found.large.items()}},
        manifest=manifest,
        model=found.model,
        pictures=found.pictures,
        settings=config.report,
        gross_margin=config.value.gross_margin,
        previous=previous,
    )
    context = attempt(left_out, "report", lambda: build_context(sources))
    files = None if context is None else attempt(left_out, "report", lambda: render_report(context))
    headline = context.headline.text if context is not None else "The report could not be made."
    return headline, files or {}


def find(config: RunConfig, histories: Histories, *, step: Step = lambda text: None) -> Findings:
    """Values, credits and effects from the histories, each as far as it can be made."""
    left_out = dict(histories.left_out)
    costs = attempt(left_out, "costs", lambda: channel_costs(histories)) or ChannelCosts()
    step("Finding cases")
    cases = attempt(left_out, "service figures", lambda: find_cases(config, histories))
    allocated = attempt(left_out, "cost to serve", lambda: _allocated(histories, costs, cases))
    step("Valuing customers")
    serving = None if allocated is None else allocated.by_customer()
    value = attempt(left_out, "customer values", lambda: value_part(config, histories, serving))
    value = value or ValuePart()
    step("Estimating effects")
    effects = attempt(left_out, "effects", lambda: evidence_part(config, histories, cases))
    step("Crediting channels")
    credit = attempt(
        left_out,
        "credits",
        lambda: credit_part(config, histories, value.residual_value, costs.by_channel, effects),
    )
    credit = credit or CreditPart()
    credits = credit.tables.get("credits")
    returned = attempt(
        left_out, "return on investment", lambda: returns_part(config, histories, costs, credit.tables)
    )
    step("Counting cases")
    valued = value.tables.get("customers")
    care = None
    if cases is not None or "service figures" not in left_out:
        found_effects = None if effects is None else effects.frame
        care = attempt(
            left_out,
            "service figures",
            lambda: care_part(config, histories, valued, cases, found_effects),
        )
    care = care or CarePart()
    figures = care.tables.get("care")
    step("Holding returns against costs")
    statement = attempt(left_out, "returns", lambda: statement_part(config, histories, costs, care, effects))
    statement = statement or Statement()
    objectives = attempt(
        left_out,
        "objectives",
        lambda: objectives_part(
            histories,
            care.desk,
            figures,
            credits=credits,
            effects=effects,
            returns=statement.tables.get("returns"),
        ),
    )
    changes = attempt(left_out, "changes", lambda: changes_part(config, histories, figures))
    engaged = attempt(left_out, "engagement", lambda: engagement_part(histories, valued, cases, figures))
    declared = attempt(
        left_out, "declared sources", lambda: declared_part(histories, credits, config.channel_groups)
    )
    quarters = costs_by_quarter(costs, config.channel_groups, end=histories.inputs.observation_end)
    large = _large(histories, credit, left_out) | ({} if care.cases is None else {"cases": care.cases})
    parts = [
        Part(
            tables=_of_customers(config, histories, left_out),
            notes=histories.all_notes,
        ),
        Part(notes=costs.notes, pictures={"costs": quarters}),
        None
        if allocated is None
        else Part(tables={"costs": allocated.by_channel()}, notes=unallocated_notes(allocated)),
        value,
        None
        if effects is None
        else Part(tables={"effects": effects.frame}, pictures=effects.pictures, notes=effects.notes),
        credit,
        returned,
        care,
        Part(left_out=left_out),
        statement,
        objectives,
        changes,
        engaged,
        declared,
    ]
    made = _together([part for part in parts if part is not None])
    learned = {"needs_reply": dict(cases.model)} if cases is not None and cases.model else {}
    return Findings(
        tables=made.tables,
        large=large,
        model={**(value.values.model if value.values else {}), **learned},
        pictures=made.pictures,
        left_out={**made.left_out, **unused_tables(config, histories, made.tables)},
        notes=made.notes,
        refuted=statement.refuted,
    )


def _together(parts: Sequence[Part]) -> Part:
    """The parts as one."""
    return Part(
        tables={name: table for part in parts for name, table in part.tables.items()},
        pictures={name: picture for part in parts for name, picture in part.pictures.items()},
        notes=tuple(note for part in parts for note in part.notes),
        left_out={name: reason for part in parts for name, reason in part.left_out.items()},
    )


def _allocated(histories: Histories, costs: ChannelCosts, cases: AllCases | None) -> Allocation | None:
    work = None if cases is None else cases.rows(*WORK)
    return costs.allocated(work, histories.touchpoints)


def _of_customers(
    config: RunConfig, histories: Histories, left_out: dict[str, str]
) -> dict[str, pl.DataFrame]:
    """The tables `orders` and `profiles`, what customers consented to beside what they are."""
    made: dict[str, pl.DataFrame | None] = {}
    transactions, people = histories.table("transactions"), histories.customers
    if transactions is not None:
        end = histories.inputs.observation_end
        made["orders"] = attempt(left_out, "orders", lambda: recent_orders(transactions, end))
    if people is not None:
        made["profiles"] = attempt(left_out, "profiles", lambda: profiles_table(people))
    entries = histories.table("consents")
    if entries is not None:
        consents = latest_consents(entries.collect(), config.purposes)
        made["profiles"] = with_consents(made.get("profiles"), consents)
    return {name: table for name, table in made.items() if table is not None}


def _large(histories: Histories, credit: CreditPart, left_out: dict[str, str]) -> dict[str, pl.LazyFrame]:
    """The bundle's tables of touches, purchases and credit by customer."""
    made: dict[str, pl.LazyFrame | None] = {"customer_credits": credit.customer_credits}
    buckets = histories.buckets if credit.buckets is None else credit.buckets
    for name, make in ((PURCHASES, told_purchases), (TOUCHPOINTS, told_touchpoints)):
        if name in buckets:
            told = attempt(left_out, name, partial(buckets.map, make))
            made[name] = None if told is None else told.gather(f"told.{name}")
    return {name: table for name, table in made.items() if table is not None}


def _segments(config: RunConfig, found: Findings) -> list[dict[str, Any]]:
    """The named segments, counted."""
    if not config.segments or "customers" not in found.tables:
        return []
    return count_segments(config.segments, found.tables["customers"], found.tables.get("profiles"))


def _manifest(config: RunConfig, histories: Histories, found: Findings, run_id: str) -> dict[str, Any]:
    inputs = histories.inputs
    assumptions = histories.table("assumptions")
    return {
        "run_id": run_id,
        "model_version": f"{config.name}-{run_id[:12]}",
        "name": config.name,
        "code_version": code_version(),
        "as_of": inputs.observation_end.isoformat(),
        "span": histories.span,
        "currency": inputs.currency,
        "time_unit": config.time_unit,
        "interval_level": config.value.interval,
        "pseudonyms": ID_KEY in os.environ,
        "configuration": config.to_dict(),
        "inputs": {
            name: table.counts() | {"warnings": list(table.notes)} for name, table in inputs.tables.items()
        },
        "assumptions": []
        if assumptions is None
        else _marked(assumptions, inputs.observation_end, found.refuted),
        "forecast": _verdict(found.model),
        "left_out": dict(found.left_out),
        "notes": list(found.notes),
    }


def _verdict(model: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the holdout bears the headline out, and the reason where it does not."""
    forecast = model.get("forecast", {})
    return {"status": forecast.get("status", "unjudged"), "reason": forecast.get("reason")}


def _marked(
    assumptions: pl.LazyFrame, as_of: dt.date, refuted: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """The assumptions as plain values, each with whether it had expired, and what refutes it.

    Null where nobody said when it ends, and where nothing measured lies against it.
    """
    when = pl.col("expires") if "expires" in assumptions.collect_schema() else pl.lit(None, dtype=pl.Date)
    rows = _plain_rows(assumptions.with_columns(expired=when < as_of))
    return [row | {"refuted": (refuted or {}).get(row["name"])} for row in rows]


def _plain_rows(table: pl.LazyFrame) -> list[dict[str, Any]]:
    rows = table.collect().to_dicts()
    return [
        {key: value.isoformat() if isinstance(value, dt.date) else value for key, value in row.items()}
        for row in rows
    ]


def _log(record: OpenRun, config: RunConfig, histories: Histories, found: Findings, bundle: Path) -> None:
    parameters = flatten(config.to_dict())
    if "chosen" in found.model:
        parameters["chosen_model"] = found.model["chosen"]
    record.log_parameters(parameters)
    read = histories.inputs.tables.items()
    rows = {f"rows.{name}.valid": float(table.rows_valid) for name, table in read}
    rows |= {f"rows.{name}.kept_out": float(table.rows_read - table.rows_valid) for name, table in read}
    record.log_metrics(rows | run_metrics(found.tables, found.model))
    for name, table in histories.inputs.tables.items():
        source = ", ".join(source.path for source in config.inputs[name])
        record.log_dataset(
            name,
            source=source,
            digest=table.sha256,
            rows=table.rows_valid,
            context="input",
            columns={column: _mlflow_type(dtype) for column, dtype in table.valid.collect_schema().items()},
        )
    record.log_bundle(bundle)


def _mlflow_type(dtype: pl.DataType) -> str:
    """The name MLflow has for a type of column."""
    if dtype.is_integer():
        return "long"
    if dtype.is_float():
        return "double"
    if dtype == pl.Boolean:
        return "boolean"
    return "datetime" if dtype.is_temporal() else "string"
