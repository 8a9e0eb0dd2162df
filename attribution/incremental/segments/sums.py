"""The credit of a fit, divided between segments exactly: every customer's part is counted in one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.aumann_shapley import CHUNK, OutcomeCredit, PanelCredit, panel_credit
from attribution.incremental.setfunction import FittedPanelModel, PanelPrediction
from histories.panel import Panel

__all__ = ["credit_by_label", "sum_credits"]

Float = NDArray[np.float64]
Labels = NDArray[np.str_]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Predicted:
    """A fit that has predicted already: the same latents for every way to divide the customers."""

    beta: Float
    gamma: Float
    found: PanelPrediction
    problems: tuple[str, ...] = ()

    def predict(
        self, panel: Panel, stocks: NDArray[np.float32], *, rng: np.random.Generator
    ) -> PanelPrediction:
        """What was predicted, whatever the arguments."""
        del panel, stocks, rng
        return self.found

    def of(self, rows: NDArray[np.int64]) -> _Predicted:
        """For some of the customers, by position."""
        offset = self.found.hazard_offset
        some = replace(
            self.found,
            hazard_offset=None if offset is None else offset[:, rows],
            survival=self.found.survival[rows],
            share=None if self.found.share is None else self.found.share[:, rows],
            staying=None if self.found.staying is None else self.found.staying[:, rows],
            expected_spend=float("nan"),
            expected_survivors=float("nan"),
        )
        return replace(self, found=some)


def credit_by_label(
    model: FittedPanelModel,
    panel: Panel,
    stocks: NDArray[np.float32],
    columns: Mapping[str, Labels],
    *,
    rng: np.random.Generator,
    residual_value: Float | None = None,
    gross_margin: float = 1.0,
    chunk: int = CHUNK,
) -> dict[str, dict[str, PanelCredit]]:
    """Credit of every label of every column; the labels of one column add up to `panel_credit`.

    The latents are drawn as `panel_credit` draws them, so that a generator in the same state gives the
    same credit to the last rounding. The model's own expectations are not divided.

    Parameters
    ----------
    model, panel, stocks, residual_value, gross_margin, chunk
        As in `panel_credit`.
    columns
        Labels of the customers, shape (N,), by name of the column.
    rng
        Draws latents, where the model has any.

    Returns
    -------
    PanelCredit by column and label, labels sorted.
    """
    parts: dict[str, dict[str, list[PanelCredit]]] = {
        column: {str(label): [] for label in np.unique(labels)} for column, labels in columns.items()
    }
    for first in range(0, panel.n_customers, chunk):
        here = slice(first, min(first + chunk, panel.n_customers))
        some, s = panel.take(here), stocks[here]
        predicted = _Predicted(beta=model.beta, gamma=model.gamma, found=model.predict(some, s, rng=rng))
        for column, labels in columns.items():
            for label in np.unique(labels[here]):
                rows = np.flatnonzero(labels[here] == label)
                credit = panel_credit(
                    predicted.of(rows),
                    some.take(rows),
                    s[rows],
                    rng=rng,
                    residual_value=None if residual_value is None else residual_value[here][rows],
                    gross_margin=gross_margin,
                    chunk=len(rows),
                )
                parts[column][str(label)].append(credit)
    return {
        column: {label: sum_credits(found) for label, found in by_label.items()}
        for column, by_label in parts.items()
    }


def sum_credits(parts: Sequence[PanelCredit]) -> PanelCredit:
    """Credit of several groups of customers together, under the same model."""
    return PanelCredit(
        channels=parts[0].channels,
        retention=_sum([part.retention for part in parts]),
        spend=_sum([part.spend for part in parts]),
        lifetime_value=None
        if parts[0].lifetime_value is None
        else _sum([part.require("lifetime_value") for part in parts]),
        expected_spend=float(sum(part.expected_spend for part in parts)),
        expected_survivors=float(sum(part.expected_survivors for part in parts)),
    )


def _sum(parts: Sequence[OutcomeCredit]) -> OutcomeCredit:
    return OutcomeCredit(
        staying=np.sum([part.staying for part in parts], axis=0),
        spending=np.sum([part.spending for part in parts], axis=0),
        total=float(sum(part.total for part in parts)),
        empty=float(sum(part.empty for part in parts)),
    )
