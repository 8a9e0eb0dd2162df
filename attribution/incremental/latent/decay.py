"""How well the latent dropout model explains a panel under any decay of the channel stocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from attribution.incremental.latent.arrays import FloatArray
from attribution.incremental.latent.fit import EFFECT_SD, WARM_TOLERANCE, LatentDropoutFit
from attribution.incremental.latent.search import search_on_nodes, search_poisson
from attribution.incremental.stocks import mean_ratio, panel_stocks
from histories.panel import Panel

__all__ = ["LatentProfile"]

SETTLED = 0.1
"""Log-likelihood that laying the nodes anew may still gain before points compare."""
ROUNDS = 6
"""Times the nodes are laid at most before the first point."""


class LatentProfile:
    """The log-likelihood at its maximum over everything but the decay; each point climbs from the one before.

    The emission and the columns that the customer's own acts follow stay those of the first fit: how touches
    beget touches says nothing of how long they work.
    """

    def __init__(self, panel: Panel, fit: LatentDropoutFit) -> None:
        """Start from a fit.

        Parameters
        ----------
        panel
            Customers fitted to.
        fit
            The fit to them.
        """
        stocks = panel_stocks(panel, decay=fit.design.decay)
        self._panel, self._fit = panel, fit
        self._inputs = fit.design.inputs(panel, stocks)
        self._lives = fit.lives(panel, stocks)
        self._theta: FloatArray = fit.theta
        reached = self(fit.design.decay)
        for _ in range(ROUNDS if fit.emission != "poisson" else 0):
            before, reached = reached, self(fit.design.decay)
            if reached - before < SETTLED:
                break

    def __call__(self, decay: float) -> float:
        """The maximised log-likelihood at this decay, up to a constant of the data."""
        stocks = panel_stocks(self._panel, decay=decay)
        return self._at(replace(self._fit.design, decay=decay).inputs(self._panel, stocks).drivers)

    def without_effects(self) -> float:
        """The maximised log-likelihood of a model in which no channel does anything."""
        drivers = self._inputs.drivers.copy()
        drivers[:, :, : self._panel.n_channels] = 0.0
        return self._at(drivers)

    def _at(self, drivers: FloatArray) -> float:
        fit = self._fit
        self._theta = self._rescaled(drivers)
        self._inputs = replace(self._inputs, drivers=drivers)
        weights = np.ones(self._inputs.n_customers)
        if fit.emission == "poisson":
            found = search_poisson(
                self._inputs, weights, effect_sd=EFFECT_SD, start=self._theta, tolerance=WARM_TOLERANCE
            )
        else:
            found = search_on_nodes(
                self._inputs,
                weights,
                emission=fit.emission,
                start=self._theta,
                lives=self._lives,
                effect_sd=EFFECT_SD,
                tolerance=WARM_TOLERANCE,
            )
        self._theta, self._lives = found.theta, found.lives
        return found.loglik

    def _rescaled(self, drivers: FloatArray) -> FloatArray:
        """The parameters with effects that push as far as before on the new stocks."""
        layout, fading = self._fit.layout, self._fit.design.n_fading
        ratio = mean_ratio(self._inputs.drivers[:, :, :fading], drivers[:, :, :fading])
        theta = self._theta.copy()
        theta[layout.hazard_drivers(fading)] *= ratio
        theta[layout.purchase_drivers(fading)] *= ratio
        return theta
