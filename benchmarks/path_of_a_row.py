"""How many of our files a row of transactions passes between the CSV and the JSON answer.

    python -m benchmarks.path_of_a_row

Thirteen customers are read, valued by one model, stored and asked for, by the calls that `run_experiment` and
the service make; every call and return of our own functions is watched on the way. A file is *passed* in a
stage when one of its functions takes, keeps in `self` or returns the rows:

- check, value, store: a Polars frame or series of at least one row; a lazy frame; or an array with an axis
  of thirteen. One level of containers and of our own value classes is opened.
- answer: text, bytes or a mapping with the asked customer's id in it, or the arrays of the thirteen.

So this counts every hand that the table goes through, the forecast's judgement by holdout included. It does
not count files that only declare (schemas, settings), nor what does not lead to the answer: path and
incremental credit, cases, the report, MLflow.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from types import FrameType

import httpx
import numpy as np
import polars as pl

ROOT = Path(__file__).parents[1]
OURS = ("histories", "clv", "attribution", "care", "reports", "experiments", "api")
CUSTOMERS = 13
"""No other array of the run has an axis of this length."""
ASKED = "9007199"
CONFIG = """\
name = "path"
observation_end = 2026-09-30
calibration_end = 2026-06-30
currency = "EUR"
[inputs]
transactions = "orders.csv"
[value]
models = ["bg_nbd"]
posterior_draws = 0
challenger = false
origins = 1
"""


def write_company(folder: Path) -> None:
    """Thirteen customers who buy every few weeks, some of whom stop."""
    start = date(2026, 1, 1)
    lines = ["customer_id,timestamp,amount"]
    for k in range(CUSTOMERS):
        until = 270 if k % 3 else 120
        days = range(3 * k, until, 11 + 4 * (k % 5))
        lines += [f"{int(ASKED) + k},{start + timedelta(days=day)},{20 + k}.50" for day in days]
    (folder / "orders.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "path.toml").write_text(CONFIG, encoding="utf-8")


def is_table(value: object) -> bool:
    """Whether a value holds rows of customers."""
    if isinstance(value, pl.DataFrame):
        return value.height > 0
    if isinstance(value, np.ndarray):
        return CUSTOMERS in value.shape
    return isinstance(value, pl.LazyFrame) or (isinstance(value, pl.Series) and len(value) > 0)


def is_answer(value: object) -> bool:
    """Whether a value holds the customer asked for."""
    if isinstance(value, bytes):
        return ASKED.encode() in value
    if isinstance(value, Mapping):
        return ASKED in map(str, value.values())
    return (isinstance(value, str) and ASKED in value) or is_table(value)


def holds(value: object, one: Callable[[object], bool]) -> bool:
    """Whether a value, or what it contains one level down, is one."""
    if one(value):
        return True
    if isinstance(value, Mapping):
        return any(map(one, value.values()))
    if isinstance(value, list | tuple):
        return any(map(one, value))
    if dataclasses.is_dataclass(value):
        return any(one(getattr(value, field.name, None)) for field in dataclasses.fields(value))
    return any(map(one, vars(value).values())) if type(value).__module__.split(".")[0] in OURS else False


@contextmanager
def watched(passed: set[str], one: Callable[[object], bool]) -> Iterator[None]:
    """Note the files of our functions that take or return such values, in every thread."""
    inside = threading.local()

    def watch(frame: FrameType, event: str, returned: object) -> None:
        place = Path(frame.f_code.co_filename)
        if (
            event not in ("call", "return")
            or getattr(inside, "busy", False)
            or not place.is_relative_to(ROOT)
        ):
            return
        name = place.relative_to(ROOT)
        if name.parts[0] not in OURS or name.as_posix() in passed or name.name == "__init__.py":
            return
        inside.busy = True
        try:
            values = [returned] if event == "return" else list(frame.f_locals.values())
            if any(holds(value, one) for value in values):
                passed.add(name.as_posix())
        finally:
            inside.busy = False

    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def trace(folder: Path) -> dict[str, list[str]]:
    """Files passed, by stage."""
    from api.app import create_app
    from experiments.bundle.reading import load_bundle
    from experiments.bundle.writing import write_bundle
    from experiments.config import load_config
    from experiments.inputs import read_inputs
    from experiments.parts.histories import build_histories
    from experiments.parts.value import value_part

    stages: dict[str, set[str]] = {name: set() for name in ("check", "value", "store", "answer")}
    write_company(folder)
    config = load_config(folder / "path.toml")
    with watched(stages["check"], is_table):
        inputs = read_inputs(config)
    with watched(stages["value"], is_table):
        histories = build_histories(config, inputs)
        values = value_part(config, histories).values
    assert values is not None
    manifest = {
        "run_id": "0" * 32,
        "model_version": "path-1",
        "name": "path",
        "as_of": config.observation_end.isoformat() if config.observation_end else "",
        "currency": "EUR",
        "time_unit": config.time_unit,
        "interval_level": config.value.interval,
    }
    with watched(stages["store"], is_table):
        tables = {"customers": values.customers}
        bundle = write_bundle(folder / "bundle", tables=tables, manifest=manifest, model=values.model)
    app = create_app(bundle=load_bundle(bundle))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get(f"/v1/customers/{ASKED}/value")

    with watched(stages["answer"], is_answer):
        answer = asyncio.run(ask())
    assert answer.json()["customer_id"] == ASKED, answer.text
    return {stage: sorted(files) for stage, files in stages.items()}


def main() -> None:
    """Print the files of each stage, and how many there are in all."""
    with tempfile.TemporaryDirectory() as folder:
        stages = trace(Path(folder))
    for stage, files in stages.items():
        print(f"{stage}: {len(files)}", *files, sep="\n    ")
    print("in all:", len({file for files in stages.values() for file in files}))


if __name__ == "__main__":
    main()
