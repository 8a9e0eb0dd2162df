"""Debian's Chromium, a report and a service to look at; everything here skips where there is no browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from api.keys import create_key
from api.settings import Settings
from clv.purchases import FitReport
from experiments.bundle.tables import TABLES
from experiments.bundle.writing import write_bundle
from reports.build import build_context
from reports.html import render_html
from tests.reports import company
from tests.reports.test_response import curves
from tests.running import eventually, running
from tests.sample_bundle import sample_customers, sample_touchpoints

AXE = Path(__file__).with_name("axe.min.js")
COLOURS = ("color-contrast",)
"""Rules of axe that depend on the colour scheme."""
MODEL: dict[str, Any] = {
    "chosen": "bg_nbd",
    "purchase_model": "bg_nbd",
    "time_unit": "week",
    "first_purchase": "2025-01-01",
    "observation_end": "2026-06-30",
    "horizon_months": 12,
    "discount_rate": 0.1,
    "gross_margin": 0.45,
    "final": {
        "bg_nbd": {
            "k": 1,
            "model": "bg_nbd",
            "parameters": {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259},
            "report": FitReport(log_likelihood=-9582.43, customers=2357, covariance=None).to_dict(),
        }
    },
}


def chromium() -> str | None:
    """Where the system's browser is."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if chromium() is None:
        pytest.skip("no Chromium on this machine")
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def profile(browser: Any) -> Iterator[Any]:
    """What all pages share, one of them for good: pages of their own would start processes for each."""
    context = browser.new_context(reduced_motion="reduce")
    context.new_page()
    yield context
    context.close()


@pytest.fixture
def look(profile: Any) -> Iterator[Any]:
    """A function that opens pages; each must end without an error on its console or a foreign request."""
    opened = []

    def open_page(url: str, *, width: int = 1280, dark: bool = False) -> Any:
        page = profile.new_page()
        opened.append(page)
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="dark" if dark else "light")
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda m: page.faults.append(m.text) if m.type == "error" else None)
        origin = url.split("/explore", maxsplit=1)[0] if url.startswith("http") else "file:"
        page.on(
            "request",
            lambda r: None if r.url.startswith((origin, "data:", "blob:")) else page.faults.append(r.url),
        )
        page.goto(url)
        return page

    yield open_page
    for page in opened:
        page.close()


def wide(page: Any) -> int:
    """How many pixels a page is wider than its screen."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def until(page: Any, expression: str) -> None:
    """Wait until an expression holds in the page (its policy forbids the driver's own way)."""

    def holds() -> bool:
        try:
            return bool(page.evaluate(f"Boolean({expression})"))
        except Exception as error:  # the page was being left: look again at the next one
            if "context was destroyed" in str(error):
                return False
            raise

    assert eventually(holds, seconds=15), expression


def said(page: Any, words: str) -> None:
    """Wait until the notice says so."""
    until(page, f"document.querySelector('#notice').textContent.includes({words!r})")


def faults_of(page: Any, *, but: tuple[str, ...] = ()) -> list[str]:
    return [text for text in page.faults if not any(word in text for word in but)]


def serious(page: Any, *, rules: tuple[str, ...] = ()) -> list[str]:
    """What axe finds wrong with a page, of weight serious or critical: by these rules, or by all."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    found = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{v['id']}: {v['nodes'][0]['html'][:160]}"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]


@pytest.fixture(scope="session")
def report_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a whole report."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_html(build_context(company.sources(previous=company.PREVIOUS))), encoding="utf-8")
    return path.as_uri()


def filled(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """A table in its schema's columns; what it lacks is null."""
    schema = TABLES[name].schema
    missing = [
        pl.lit(None, dtype=kind).alias(column)
        for column, kind in schema.items()
        if column not in frame.columns
    ]
    return frame.with_columns(missing).select(*schema)


def write_company(
    path: Path, *, customers: int = 60, run_id: str = "abc123def456", scale: float = 1000.0, **more: Any
) -> Path:
    """A bundle with everything that the explorer shows; credits are in `scale` pounds."""
    scores = sample_customers(customers).with_columns(
        churn_probability=1 - pl.col("probability_alive"),
        average_days_between_purchases=pl.lit(21.0),
    )
    ids = scores["customer_id"].sort()
    tables = {
        "customers": scores,
        "touchpoints": sample_touchpoints(scores),
        "credits": company.credits(scale=scale),
        "roi": filled("roi", company.roi()),
        "effects": company.effects(),
        "care": filled("care", company.care()),
        "response": filled("response", curves(channel="social_one", channel_group="social")),
        "purchases": filled(
            "purchases",
            pl.DataFrame(
                {
                    "customer_id": pl.concat([ids, ids]),
                    "date": [company.dt.date(2025, 3, 1)] * len(ids)
                    + [company.dt.date(2025, 9, 1)] * len(ids),
                    "amount": [30.0, 50.0] * len(ids),
                    "touches": [0, 1] * len(ids),
                }
            ),
        ),
    }
    manifest = company.MANIFEST | {"run_id": run_id, "model_version": f"acme-{run_id}", "time_unit": "week"}
    manifest["segments"] = [{"name": "dear", "filter": "ge(customer_lifetime_value, 100)"}]
    manifest["configuration"] = company.MANIFEST["configuration"] | {"value": {"gross_margin": 0.45}}
    return write_bundle(path, tables=tables, manifest=manifest, model=MODEL, **more)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_company(tmp_path_factory.mktemp("explored") / "company")


@pytest.fixture(scope="session")
def explorer(bundle: Path) -> Iterator[httpx.Client]:
    """Without keys, as on a developer's machine."""
    with running(bundle=bundle) as client:
        yield client


@pytest.fixture(scope="session")
def read_key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    return path, create_key(path, scopes=["read"], name="reader")[0]


@pytest.fixture(scope="session")
def keyed(bundle: Path, read_key: tuple[Path, str]) -> Iterator[httpx.Client]:
    """With keys."""
    with running(Settings(keys=read_key[0], access_log=False), bundle=bundle) as client:
        yield client


def base(client: httpx.Client) -> str:
    return str(client.base_url).rstrip("/")
