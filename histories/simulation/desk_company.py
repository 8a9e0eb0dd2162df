"""The company of the scenario `care`: a desk at work, its tables, truth, and a configuration that runs."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from histories.errors import ConfigError
from histories.simulation.desk import CLOSES, OPENS, DeskProcess, simulate_desk
from histories.simulation.desk_books import MARGIN, DeskBooks, write_desk
from histories.simulation.desk_truth import PROMISE_MINUTES, desk_truth

DESK_SCENARIOS: Final = {
    "care": "a care desk message by message: queue, anger, robots, redirection; fast answers bring spend",
    "care_no_effect": "the same desk, whose answers bring nothing",
}
OBSERVATION_END: Final = dt.date(2026, 6, 28)
FEWEST_WEEKS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskCompany:
    """Input tables, what happened, and what is true of it."""

    books: DeskBooks
    process: DeskProcess
    truth: dict[str, Any]
    scenario: str
    observation_end: dt.date
    seed: int


def simulate_care(
    *, customers: int = 5_000, weeks: int = 26, seed: int = 1, scenario: str = "care"
) -> DeskCompany:
    """Simulate a company with a care desk; the same arguments give the same company.

    Raises
    ------
    ConfigError
        For another scenario, fewer than 100 customers or 10 weeks.
    """
    if scenario not in DESK_SCENARIOS:
        raise ConfigError(f'scenario "{scenario}" has no desk; allowed: {", ".join(DESK_SCENARIOS)}')
    if customers < 100 or weeks < FEWEST_WEEKS:
        raise ConfigError(
            f"simulate: {customers} customers over {weeks} weeks; a desk needs 100 and {FEWEST_WEEKS}."
        )
    rng = np.random.default_rng(seed)
    process = simulate_desk(
        customers=customers, weeks=weeks, last_day=OBSERVATION_END, effects=scenario == "care", rng=rng
    )
    books = write_desk(process, rng=rng)
    return DeskCompany(
        books=books,
        process=process,
        truth=desk_truth(process, books),
        scenario=scenario,
        observation_end=OBSERVATION_END,
        seed=seed,
    )


def write_care(
    company: DeskCompany, out: Path, *, file_format: Literal["parquet", "csv"] = "parquet"
) -> Path:
    """Write tables, `truth.json` and `tributary.toml` into `out`; returns the configuration's path."""
    out.mkdir(parents=True, exist_ok=True)
    inputs = []
    for entry in fields(company.books):
        table, path = getattr(company.books, entry.name), out / f"{entry.name}.{file_format}"
        if file_format == "csv":
            table.write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%SZ")
        else:
            table.write_parquet(path)
        inputs.append(f'{entry.name} = "{path.name}"')
    told = {"scenario": company.scenario, "seed": company.seed, "customers": company.books.customers.height}
    truth = {**told, "observation_end": company.observation_end.isoformat(), "care": company.truth}
    (out / "truth.json").write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")
    config = out / "tributary.toml"
    config.write_text(_config(company, "\n".join(inputs)), encoding="utf-8")
    return config


def _config(company: DeskCompany, inputs: str) -> str:
    opens, closes = (f"{hour}:{minute:02d}" for hour, minute in (OPENS, CLOSES))
    return f"""\
name = "simulated-{company.scenario.replace("_", "-")}"
observation_end = {company.observation_end.isoformat()}
timezone = "Europe/London"
currency = "GBP"
seed = {company.seed}

[inputs]
{inputs}

[channels]
twitter = {{ group = "social", origin = "customer" }}
facebook = {{ group = "social", origin = "customer" }}
email = {{ group = "email", origin = "customer" }}

[value]
gross_margin = {MARGIN}

[attribution]
methods = ["last", "linear"]
outcomes = ["conversion", "spend"]

[care.hours]
from = "{opens}"
to = "{closes}"

[[care.promises]]
name = "within the hour"
within_minutes = {PROMISE_MINUTES}
share = 0.6
clock = "business"
from = {company.process.promise_from.isoformat()}

[[care.promises]]
name = "within the hour, day and night"
within_minutes = {PROMISE_MINUTES}
share = 0.3

[[effects]]
name = "the promise"
design = "interrupted_series"
treatment = {{ intervention = "promise: answer within the hour" }}
outcomes = ["spend_per_customer"]

[[effects]]
name = "a change that did nothing"
design = "interrupted_series"
treatment = {{ intervention = "new tone of voice" }}
outcomes = ["spend_per_customer"]

[[effects]]
name = "answers within the hour"
design = "landmark"
treatment = {{ first_response_minutes = {PROMISE_MINUTES} }}
control = "slower"
landmark_days = 1
washout_days = 28
follow_up_days = 30
outcomes = ["spend", "issues", "retention"]
covariates = ["topic"]
segments = ["region", "spend", "tenure", "care_user", "care_user x spend"]

[[effects]]
name = "any answer"
design = "landmark"
treatment = {{ kind = "care" }}
control = "unanswered"
landmark_days = 4
washout_days = 28
follow_up_days = 30
outcomes = ["spend", "issues"]
covariates = ["topic"]
segments = ["region", "spend", "tenure", "care_user", "care_user x spend"]

[[effects]]
name = "speed of the first answer"
design = "response_curve"
outcomes = ["spend", "issues"]
follow_up_days = 30

[[effects]]
name = "answer within the hour, by the queue"
design = "queue"
treatment = {{ first_response_minutes = {PROMISE_MINUTES} }}
outcomes = ["spend", "issues"]
follow_up_days = 30
"""
