"""write_company: a simulated company as files, with its truth and a configuration that runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Literal

import numpy as np

from histories.simulation.books import EXPERIMENT, WITHHELD
from histories.simulation.company import SimulatedCompany, truth_frame
from histories.simulation.traits import CHANNELS, DISCOUNT_RATE, HORIZON, MARGIN
from histories.simulation.turns import CHANNEL, CLOSES, OPENS, PROMISE_MINUTES, Turns, gain_of

CONFIG = "tributary.toml"
_REPLY = """\
[[effects]]
name = "reply within two hours"
design = "landmark"
treatment = { group = "social", kind = "care", first_response_minutes = 120 }
control = "slower"
outcomes = ["retention", "spend", "issues"]
covariates = ["region", "income", "csat"]
segments = ["region"]
"""
_CARE = """\
[care.hours]
days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
from = "{opens}:00"
to = "{closes}:00"

[[care.promises]]
name = "within the hour"
channel = "{channel}"
within_minutes = {minutes}
share = 0.5
from = {promised}
"""
_ANSWERS = """\
[[effects]]
name = "answers within the hour"
design = "landmark"
treatment = {{ channel = "{channel}", kind = "care", first_response_minutes = {minutes} }}
control = "slower"
landmark_days = 1
washout_days = 14
follow_up_days = 30
outcomes = ["spend", "retention", "issues"]
covariates = ["region", "income"]
segments = ["region", "spend"]

[[effects]]
name = "any answer"
design = "landmark"
treatment = {{ channel = "{channel}", kind = "care" }}
control = "unanswered"
landmark_days = 4
washout_days = 14
follow_up_days = 30
outcomes = ["spend", "issues"]
covariates = ["region", "income"]
segments = ["region", "spend"]
"""
TRUTH = "truth.json"


def write_company(
    company: SimulatedCompany, out: Path | str, *, file_format: Literal["parquet", "csv"] = "parquet"
) -> Path:
    """Write tables, `truth.json` and `tributary.toml` into `out`; returns the configuration's path."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    names = [field.name for field in fields(company.books) if getattr(company.books, field.name) is not None]
    for name in names:
        table, path = getattr(company.books, name), folder / f"{name}.{file_format}"
        if file_format == "csv":
            table.write_csv(path, datetime_format="%Y-%m-%d %H:%M:%S")
        else:
            table.write_parquet(path)
    (folder / TRUTH).write_text(json.dumps(_truth(company), indent=2) + "\n", encoding="utf-8")
    config = folder / CONFIG
    inputs = {name: f"{name}.{file_format}" for name in names}
    config.write_text(_config(company, inputs), encoding="utf-8")
    return config


def _truth(company: SimulatedCompany) -> dict[str, object]:
    books = company.books
    by_region = [
        {"segment": f"region: {name}", **row}
        for name, truth in (company.region_truth or {}).items()
        for row in truth_frame(truth).to_dicts()
    ]
    return {
        "scenario": company.scenario.name,
        "summary": company.scenario.summary,
        "seed": company.seed,
        "customers": books.customers.height,
        "observation_end": company.calendar.last_day.isoformat(),
        "definition": "Shapley value of the expected outcome over all coalitions of channels",
        "credits": truth_frame(company.truth).to_dicts(),
        **({"segments": by_region} if by_region else {}),
        "experiment": {"name": EXPERIMENT, **company.experiment},
        **({} if company.turns is None else {"care": _care_truth(company, company.turns)}),
        "parameters": dict(company.truth.parameters),
    }


def _care_truth(company: SimulatedCompany, turns: Turns) -> dict[str, object]:
    """Spend that speed brings per contact in the four weeks after, of those who stay so long.

    `answered_effect`: what the answers brought, beyond what any late one does. `untreated_effect`: what those
    who were answered, but not within the hour, would have gained by it.
    """
    gain, late = gain_of(turns.waited), np.isfinite(turns.waited) & (turns.waited > PROMISE_MINUTES * 60)
    answered = np.isfinite(turns.waited)
    return {
        "channel": CHANNELS[CHANNEL].name,
        "contacts": len(turns.waited),
        "within_the_hour": float((turns.waited <= PROMISE_MINUTES * 60).mean()),
        "answered_effect": float((turns.worth * gain)[answered].mean()),
        "untreated_effect": float((turns.worth * (1 - gain))[late].mean()),
    }


def _config(company: SimulatedCompany, inputs: Mapping[str, str]) -> str:
    starts = company.calendar.starts
    calibration_end = starts[(len(starts) - 1) * 2 // 3] - 1
    outcomes = '["conversion", "retention", "spend", "lifetime_value"]'
    care, effect = "", _REPLY
    if company.turns is not None:
        care = _CARE.format(
            opens=OPENS, closes=CLOSES, minutes=PROMISE_MINUTES, channel=CHANNELS[CHANNEL].name,
            promised=starts[company.turns.promise_month],
        )  # fmt: skip
        effect = _ANSWERS.format(minutes=PROMISE_MINUTES, channel=CHANNELS[CHANNEL].name)
    confounders = ["region", "income"]
    if company.scenario.proxy_correlation is not None:
        confounders.append("satisfaction")
    segments = "" if company.scenario.region_effects is None else '\nsegments = ["region"]'
    tables = "\n".join(f'{name} = "{path}"' for name, path in inputs.items())
    channels = "\n".join(
        f'{channel.name} = {{ group = "{channel.group}", origin = "{channel.origin}" }}'
        for channel in CHANNELS
    )
    quoted = ", ".join(f'"{name}"' for name in confounders)
    return f"""\
name = "simulated-{company.scenario.name.replace("_", "-")}"
observation_end = {company.calendar.last_day.isoformat()}
calibration_end = {calibration_end}
time_unit = "week"
purchase_unit = "day"
timezone = "Europe/London"
currency = "GBP"
seed = {company.seed}

[inputs]
{tables}

[channels]
{channels}

[value]
models = ["bg_nbd", "mbg_nbd", "pareto_nbd"]
horizon_months = {HORIZON}
discount_rate = {DISCOUNT_RATE}
gross_margin = {MARGIN}

[attribution]
lookback_days = 30
period = "month"
outcomes = {outcomes}
methods = ["last", "linear", "markov", "shapley", "incremental"]
confounders = [{quoted}]{segments}

{care}[[effects]]
name = "{EXPERIMENT}"
design = "randomised"
treatment = {{ experiment = "{EXPERIMENT}", control = "{WITHHELD}", channel = "newsletter" }}
outcomes = ["spend", "retention"]
follow_up_days = {_follow_up_days(company)}

{effect}
[report]
headline_effect = "{EXPERIMENT}"
"""


def _follow_up_days(company: SimulatedCompany) -> int:
    """Days after the first of the experiment, up to the last of observation."""
    starts = company.calendar.starts
    return int((starts[-1] - starts[(len(starts) - 1) // 2]).astype(int)) - 1
