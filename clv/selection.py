"""Rolling origins: windows that are forecast and judged, and how far the models are apart on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from clv.evaluate import Forecast, compare_deviance, poisson_deviance
from histories.arrays import Float


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Fit on everything up to `origin`, judge on what follows up to `until`; both days included."""

    origin: date
    until: date


def rolling_windows(
    *, first: date, calibration_end: date, observation_end: date, origins: int
) -> list[Window]:
    """Windows of one length: the one behind `calibration_end`, then earlier ones at half-window steps.

    An origin is used while at least as much history as one window lies before it.
    """
    length = (observation_end - calibration_end).days
    windows = []
    for back in range(origins):
        origin = calibration_end - timedelta(days=back * max(length // 2, 1))
        if back and (origin - first).days < length:
            break
        windows.append(Window(origin=origin, until=origin + timedelta(days=length)))
    return windows


def compare_models(
    forecasts: Sequence[Forecast], *, interval: float, rng: np.random.Generator
) -> tuple[Mapping[str, Mapping[str, float]], int]:
    """Mean deviance per customer above the lowest one, by model, with its bootstrap interval.

    Models are compared on the origins that all of them have; a model without a forecast at the latest origin
    is left out. The second value is the number of origins.
    """
    deviance, origins = _comparable(forecasts)
    best = min(deviance, key=lambda model: float(deviance[model].mean()))
    return {
        model: compare_deviance(deviance[best], values, interval=interval, rng=rng)
        for model, values in deviance.items()
    }, origins


def _comparable(forecasts: Sequence[Forecast]) -> tuple[dict[str, Float], int]:
    """Deviance by customer of each model on the origins that all of them have, and the number of those."""
    by_model: dict[str, dict[date, Float]] = {}
    for forecast in forecasts:
        deviance = poisson_deviance(forecast.predicted, forecast.actual)
        by_model.setdefault(forecast.model, {})[forecast.origin] = deviance
    latest = max(f.origin for f in forecasts)
    by_model = {model: origins for model, origins in by_model.items() if latest in origins}
    shared = sorted(set.intersection(*(set(origins) for origins in by_model.values())))
    joined = {model: np.concatenate([origins[day] for day in shared]) for model, origins in by_model.items()}
    return joined, len(shared)
