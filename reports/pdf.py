"""The report as PDF: the same context through a typesetter that needs no system library (extra `pdf`)."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from histories.errors import ConfigError
from reports.cells import templates
from reports.charts import draw_pdf
from reports.context import Figure, ReportContext

__all__ = ["render_pdf"]


def render_pdf(context: ReportContext) -> bytes:
    """The whole report as A4 pages.

    Raises
    ------
    ConfigError
        When the extra `pdf` is not installed.
    """
    try:
        import typst
    except ImportError as error:
        raise ConfigError(
            "PDF reports need the package typst. Install tributary[pdf], or ask for html."
        ) from error
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def picture(figure: Figure) -> str:
            path = folder / f"{len(list(folder.iterdir()))}.pdf"
            path.write_bytes(draw_pdf(figure))
            return path.name

        environment = templates(autoescape=False)
        environment.filters["typ"] = _literal
        footer = f"Run {context.run_id[:12]} · data to {context.as_of} · amounts in {context.currency}"
        source = environment.get_template("report.typ.jinja").render(
            report=context, picture=picture, footer=footer
        )
        (folder / "report.typ").write_text(source, encoding="utf-8")
        return bytes(typst.compile(str(folder / "report.typ")))


def _literal(text: str) -> str:
    r"""A text as a string of the typesetting language, whatever it holds.

    >>> print(_literal('a "quoted" #word'))
    "a \"quoted\" #word"
    """
    return json.dumps(text, ensure_ascii=False)
