"""Draw the pictures of README and docs from a demo: pages of its report, views of its explorer.

python docs/prepare/pictures.py demo

The explorer's pictures need Chromium; without it those in `docs/pictures` stay as they are.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
OUT: Final = ROOT / "docs" / "pictures"
RESOLUTION: Final = 96
VIEWS: Final = {
    "explorer_credit": "credit",
    "explorer_customers": "customers?gone_from=20&gone_to=70&worth=50",
}


def draw_pages(bundle: Path) -> None:
    """The two pages of the board as PNG."""
    import typst

    from experiments.bundle.reading import load_bundle
    from experiments.report import report_context
    from reports.pdf import report_source

    source = report_source(report_context(load_bundle(bundle)))
    with as_file(files("reports") / "static" / "fonts") as fonts, tempfile.TemporaryDirectory() as name:
        path = Path(name) / "report.typ"
        path.write_text(source, encoding="utf-8")
        compiler = typst.Compiler(str(path), font_paths=[str(fonts)], ignore_system_fonts=True)
        pages = compiler.compile(format="png", ppi=RESOLUTION)
    assert isinstance(pages, list)
    for number, page in enumerate(pages[:2], start=1):
        (OUT / f"report_page_{number}.png").write_bytes(page)


def draw_views(bundle: Path) -> None:
    """The explorer's views as PNG, as a reader sees them at 1280 pixels."""
    from playwright.sync_api import sync_playwright

    from tests.running import running

    with running(bundle=bundle) as client, sync_playwright() as driver:
        browser: Any = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, view in VIEWS.items():
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(f"{str(client.base_url).rstrip('/')}/explore/{view}")
            page.screenshot(path=str(OUT / f"{name}.png"), full_page=True)
        browser.close()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    served = (Path(sys.argv[1]) / "runs" / "champion").resolve()
    OUT.mkdir(parents=True, exist_ok=True)
    draw_pages(served)
    if shutil.which("chromium") is None:
        print("No Chromium: the explorer's pictures stay as they are.")
    else:
        draw_views(served)
