"""What care returned, what silence cost and what faster answers would bring, beside the truth.

    python -m benchmarks.returns --companies 20 --customers 12000
    python -m benchmarks.returns --scenario care_no_effect

Companies of the scenario `care`; the figures are those of the table `returns` and of `tributary whatif`. The
account is told twice: by the rule (the response curve's row of any answer before the landmark's), and by the
landmark alone. Truth is all that the answers brought, also after the observation.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from attribution.effects.findings import EffectsResult
from care.asking import CareFacts, question_of
from care.cash_flows import net_present_value
from care.whatif import what_if
from experiments.config import RunConfig, load_config
from experiments.inputs import read_inputs
from experiments.parts.care import CarePart, care_part, find_cases
from experiments.parts.costs import channel_costs
from experiments.parts.evidence import evidence_part
from experiments.parts.histories import build_histories
from experiments.parts.statement import statement_part
from histories.simulation.desk import HOUR, gain_of
from histories.simulation.desk_books import MARGIN
from histories.simulation.desk_company import DESK_SCENARIOS, DeskCompany, simulate_care, write_care

Row = tuple[str, float, float | None, float | None, float | None, bool]
"""What, truth, value, low, high, supported."""

DESIGNS = ("answers within the hour", "any answer", "speed of the first answer")
CURVE = DESIGNS[-1]
PROMISE = "within the hour, day and night"


def company_rows(seed: int, customers: int, weeks: int, scenario: str) -> Iterator[Row]:
    """Figures of one company with their truth."""
    company = simulate_care(customers=customers, weeks=weeks, seed=seed, scenario=scenario)
    with tempfile.TemporaryDirectory() as folder:
        path = write_care(company, Path(folder))
        text = path.read_text(encoding="utf-8")
        head, *designs = text.split("[[effects]]")
        kept = [one for one in designs if any(f'name = "{name}"' in one for name in DESIGNS)]
        path.write_text("[[effects]]".join([head, *kept]).replace(', "retention"', ""), encoding="utf-8")
        config = load_config(path)
        histories = build_histories(config, read_inputs(config))
        costs, cases = channel_costs(histories), find_cases(config, histories)
        care = care_part(config, histories, None, cases)
        effects = evidence_part(config, histories, cases)
        assert effects is not None

        def table(found: EffectsResult) -> pl.DataFrame:
            return statement_part(config, histories, costs, care, found).tables["returns"]

        whole = table(effects)
        alone = table(_without(effects, CURVE))
    price = _price_of_contact(care.tables["care"])
    margin = _known_margin(company)
    induced = price * sum(month["induced_contacts"] for month in company.truth["returns"])
    yield from _account(company, config, whole, margin, price)
    for what, rows in (("by the rule", whole), ("by the landmark alone", alone)):
        yield _row(rows, "incremental margin", f"margin of all answers, {what}", margin)
        yield _row(rows, "induced contacts", f"cost of induced contacts, {what}", induced)
        silence = company.truth["silence"]["margin_at_speed"]
        yield _row(rows, "silence: all authors as if known", f"silence, {what}", silence)
    yield from _what_if(company, config, care, effects)


def _without(effects: EffectsResult, name: str) -> EffectsResult:
    kept = tuple(effect for effect in effects.effects if effect.name != name)
    return replace(effects, effects=kept)


def _row(table: pl.DataFrame, line: str, what: str, truth: float) -> Row:
    rows = table.filter(
        (pl.col("line") == line)
        & pl.all_horizontal(pl.col("segment", "period") == "(all)")
        & (pl.col("scenario") == "actual")
    )
    row: Mapping[str, Any] = rows.row(0, named=True)
    return what, truth, row["value"], row["low"], row["high"], bool(row["supported"])


def _known(company: DeskCompany) -> set[str]:
    """Handles of one known customer."""
    handles = company.books.identities.group_by("handle").agg(pl.col("customer_id").n_unique().alias("n"))
    return set(handles.filter(pl.col("n") == 1)["handle"])


def _known_margin(company: DeskCompany) -> float:
    """Margin that the answers to known customers brought."""
    process, known = company.process, _known(company)
    margin = 0.0
    for thread in process.threads:
        if thread.opened >= process.end or not thread.waits:
            continue
        since, until = thread.waits[0]
        is_known = thread.channel == "email" or f"{thread.channel[:2]}_user{thread.customer}" in known
        if since < process.end and until < process.end and is_known:
            margin += MARGIN * float(process.effect[thread.customer]) * gain_of(until - since)
    return margin


def _price_of_contact(figures: pl.DataFrame) -> float:
    cuts = pl.all_horizontal(pl.col("channel", "team", "segment", "period") == "(all)")
    return float(figures.filter((pl.col("kpi") == "cost_per_contact") & cuts)["value"][0])


def _account(
    company: DeskCompany, config: RunConfig, table: pl.DataFrame, margin: float, price: float
) -> Iterator[Row]:
    """Net, return and present value; costs and the price of a contact are what they are."""
    months = company.truth["returns"]
    share = margin / (sum(month["margin"] for month in months) or 1.0)
    flows = [share * month["margin"] - month["induced_contacts"] * price - month["cost"] for month in months]
    cost = sum(month["cost"] for month in months)
    yield _row(table, "net", "net", sum(flows))
    yield _row(table, "roi", "return on cost", sum(flows) / cost)
    value = net_present_value([0.0, *flows], discount_rate=config.value.discount_rate)
    yield _row(table, "npv", "present value", value)


def _what_if(
    company: DeskCompany, config: RunConfig, care: CarePart, effects: EffectsResult
) -> Iterator[Row]:
    """Margin of known customers at a fifth more within the hour, or as far as was observed."""
    facts = CareFacts(
        care=care.tables["care"],
        cases=care.cases.collect(),
        effects=effects.frame,
        configuration=config.to_dict(),
        assumptions=(),
        as_of=company.observation_end,
    )
    told = company.truth["what_if"]
    share = min(told["share"], question_of(facts, promise=PROMISE).highest_share)
    asked = question_of(facts, promise=PROMISE, share=share)
    found = what_if(asked)
    each = MARGIN * told["spend_per_case"], MARGIN * _next_gain(company, found.cases)
    known = found.cases * asked.known_share
    for what, truth, figure in zip(
        ("drawn from all that waited", "next in the queue"),
        each,
        (found.margin, found.margin_next),
        strict=True,
    ):
        ends = figure.value, figure.low, figure.high
        yield f"what if, those who become fast are {what}", truth * known, *ends, figure.value is not None


def _next_gain(company: DeskCompany, cases: float) -> float:
    """Mean spend that an answer within the hour adds for so many of those who waited least beyond it."""
    process = company.process
    waited = sorted(
        (until - since, float(process.effect[thread.customer]))
        for thread in process.threads
        if thread.opened < process.end and thread.waits
        for since, until in thread.waits[:1]
        if since < process.end and until - since > HOUR
    )
    gains = [effect * (1 - gain_of(length)) for length, effect in waited[: max(1, round(cases))]]
    return float(np.mean(gains))


def main() -> None:
    """Print truth, mean, scatter and intervals that hold the truth, over many companies."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenario", choices=tuple(DESK_SCENARIOS), default="care")
    parser.add_argument("--companies", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--customers", type=int, default=12_000)
    parser.add_argument("--weeks", type=int, default=26)
    asked = parser.parse_args()
    rows: dict[str, list[Row]] = {}
    for seed in range(asked.first_seed, asked.first_seed + asked.companies):
        for row in company_rows(seed, asked.customers, asked.weeks, asked.scenario):
            rows.setdefault(row[0], []).append(row)
        print(f"company of seed {seed}", file=sys.stderr, flush=True)
    print("| figure | truth | mean | scatter | intervals that hold it | supported | supported and wrong |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for what, found in rows.items():
        print(_line(what, found))


def _line(what: str, found: Sequence[Row]) -> str:
    """One figure over the companies; those without a value are left out of mean and intervals."""
    told = [row for row in found if row[2] is not None]
    truth = float(np.mean([row[1] for row in found]))
    values = [float(row[2] or 0.0) for row in told]
    digits = 2 if abs(truth) < 10 and all(abs(value) < 10 for value in values) else 0
    ranged = [row for row in told if row[3] is not None and row[4] is not None]
    held = [(row[3] or 0.0) <= row[1] <= (row[4] or 0.0) for row in ranged]
    wrong = [row[5] and not ok for row, ok in zip(ranged, held, strict=True)]
    off = [value - row[1] for value, row in zip(values, told, strict=True)]
    mean = f"{np.mean(values):,.{digits}f}" if values else "–"
    scatter = f"{np.std(off):,.{digits}f}" if values else "–"
    inside = f"{sum(held)} of {len(ranged)}" if ranged else "–"
    supported = sum(row[5] for row in found)
    return f"| {what} | {truth:,.{digits}f} | {mean} | {scatter} | {inside} | {supported} | {sum(wrong)} |"


if __name__ == "__main__":
    main()
