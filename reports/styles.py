"""The look: tokens, type and layout as one style sheet, for the report's file and for the explorer."""

from __future__ import annotations

import base64
from functools import cache
from importlib.resources import files

from reports.drawing import LIGHT, drawing_rules

LIGHT_PAGE = LIGHT | {
    "wash": "#f4f5f3",
    "accentwash": "#e2eff1",
    "caution": "#8a4700",
    "cautionwash": "#fbf1e5",
    "onaccent": "#ffffff",
}
DARK = {
    "paper": "#11181e",
    "wash": "#0b1116",
    "ink": "#e9eef1",
    "ink2": "#b7c2ca",
    "ink3": "#94a1ab",
    "rule": "#26313a",
    "rule2": "#4b5963",
    "accent": "#5cc2d4",
    "accent2": "#3b8291",
    "accentwash": "#12323a",
    "mark": "#7f8c96",
    "markwash": "#222d35",
    "caution": "#f0ad66",
    "cautionwash": "#2e2417",
    "onaccent": "#0b1116",
}
FONTS = {"Inter": ("inter-latin.woff2", "400 620"), "Newsreader": ("newsreader-latin.woff2", "500")}


def font_bytes(name: str) -> bytes:
    """One of the vendored font files."""
    return (files("reports") / "static" / "fonts" / name).read_bytes()


@cache
def stylesheet(*, fonts_at: str | None = None) -> str:
    """Every rule that a report's blocks need.

    Parameters
    ----------
    fonts_at
        The address under which the fonts are served; embedded in the sheet when None.
    """
    light = _tokens(LIGHT_PAGE)
    rules = (files("reports") / "static" / "report.css").read_text(encoding="utf-8")
    drawing = drawing_rules({name: f"var(--{name})" for name in LIGHT})
    return "\n".join(
        (
            *(_face(family, *font, fonts_at) for family, font in FONTS.items()),
            f":root{{{light}}}",
            f"@media (prefers-color-scheme: dark){{:root{{color-scheme:dark;{_tokens(DARK)}}}}}",
            f"@media print{{:root{{color-scheme:light;{light}}}}}",
            drawing,
            rules,
        )
    )


def _tokens(values: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in values.items())


def _face(family: str, file: str, weight: str, fonts_at: str | None) -> str:
    if fonts_at is None:
        data = base64.b64encode(font_bytes(file)).decode()
        source = f"data:font/woff2;base64,{data}"
    else:
        source = f"{fonts_at}/{file}"
    return (
        f'@font-face{{font-family:"{family}";font-weight:{weight};font-display:swap;'
        f'src:url({source}) format("woff2")}}'
    )
