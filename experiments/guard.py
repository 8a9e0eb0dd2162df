"""Whether a run may take the champion's place: the last window, which it never learned from, says so."""

from __future__ import annotations

from typing import Any

import polars as pl

from experiments.bundle.reading import Bundle

__all__ = ["reason_against"]


def reason_against(candidate: Bundle, champion: Bundle | None) -> str | None:
    """Why a run should not be served in the champion's place; None where nothing speaks against it.

    A forecast that its own holdout refutes is kept back. So is one that is clearly worse per customer than a
    champion that was judged on the same window and the same customers: its deviance's interval lies above.
    """
    forecast = candidate.manifest.get("forecast") or {}
    if forecast.get("status") == "refuted":
        return f"its forecast is refuted: {forecast.get('reason')}"
    if champion is None:
        return None
    new, old = _deviance(candidate), _deviance(champion)
    if new is None or old is None or (new["origin"], new["n"]) != (old["origin"], old["n"]):
        return None
    if new["low"] is not None and old["high"] is not None and new["low"] > old["high"]:
        return (
            f"on the window from {new['origin']} its deviance per customer is {new['value']:.4g} "
            f"[{new['low']:.4g}, {new['high']:.4g}], the champion's {old['value']:.4g} "
            f"[{old['low']:.4g}, {old['high']:.4g}]"
        )
    return None


def _deviance(bundle: Bundle) -> dict[str, Any] | None:
    """The deviance of the forecast that counts on the latest origin."""
    table = bundle.table("validation").filter(
        (pl.col("metric") == "deviance") & (pl.col("model") == str(bundle.model.get("chosen")))
    )
    return table.sort("origin").row(-1, named=True) if table.height else None
