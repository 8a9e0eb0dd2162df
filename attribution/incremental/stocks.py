"""Decayed channel stocks: what a customer still carries of past touches.

Where customers leave in the middle of a period, the row of the one who leaves holds touches of a part of the
period and the rows of those who stay hold a whole one, so that touches would seem to keep customers (immortal
time: Suissa 2008). `panel_stocks` compares both at the same moment. With f the share of the period of leaving
that was lived through, F its distribution among those who left, and N touches of the period,

    C_t = decay C_(t-1) + log(1 + N_t)                                          what is carried on
    S_t = decay^f C_(t-1) + log(1 + N_t)                                        in the period of leaving
    S_t = E_F[decay^f] C_(t-1) + E_F E log(1 + B),  B ~ Binomial(N_t, G(f))     in any other

because a moment within the period thins its touches. G is the share of a channel's touches of the period that
had come by then (`Panel.touch_moments`): a letter of the third of the month has reached nearly all who leave
in it. Where moments of touches are not known they come at any time, G(f) = f. If all leave at the end of a
period (f = 1) both are C_t. Where customers leave on renewals of their own (`Panel.renewal_share`) those who
stay are taken at theirs, with the touches until then. Where effects level off (`levelled`) the mean is of
f_b:

    E_F E f_b(S_t) = (1 - E_F exp(-b decay^f C_(t-1)) E (1 + B)^-b) / b

The bend of the mean would be above it, in the rows of those who stay alone, and touches seem to keep them.
Where leaving is silent nobody's moment is known: every row then is that of one who stays, at even moments.
`moment_precision` makes up for what a mean over moments hides.

Touches that follow purchases (`Panel.late`) are no cause of them, nor of leaving, within their period: they
say who has bought, or has not. Effects are told from `earlier_stocks`, which they enter in the next period;
what the touch does in its own period is taken to be what it does later, as of any other.

Touches that announce leaving or a purchase (`Panel.announces`) leave no stock at all: with one, what they
seem to do to customers who have decided already would be taken out of the effects of all other channels.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from histories.arrays import Float
from histories.mapped import empty_beside
from histories.panel import Panel, last_true

DECAY = 0.6
"""Share of a stock that is left one period later, unless it is given or estimated."""
MOMENTS = 16
"""Quantiles that stand for the distribution of the moments of leaving."""
SILENCE = 3
"""Periods without a sign at the end from which a customer seems to have left."""
CHANCES = np.linspace(0.0, 1.0, 129) ** 2
"""Chances at which binomial means are computed; between them they run straight."""
EXACT = 200
"""Touches of one channel in one period up to which the binomial is summed; beyond, a series does."""


def levelled(stocks: NDArray[np.floating], bend: float) -> NDArray[np.float32]:
    """f_b(S) = (1 - exp(-b S)) / b, element by element; S itself where b is 0.

    Examples
    --------
    >>> levelled(np.array([0.5, 2.0], dtype=np.float32), 1.0).round(2).tolist()
    [0.38999998569488525, 0.8600000143051147]
    """
    if not bend:
        return np.asarray(stocks, dtype=np.float32)
    return np.asarray(-np.expm1(-bend * np.asarray(stocks, dtype=np.float64)) / bend, dtype=np.float32)


def panel_stocks(
    panel: Panel,
    *,
    decay: float | Float = DECAY,
    touches: NDArray[np.floating] | None = None,
    bend: float = 0.0,
) -> NDArray[np.float32]:
    """Stocks of a panel's touches at the moments at which customers leave, shape (N, P, C).

    Take them from the whole panel and slice them afterwards: the moments are those of all who left.

    Parameters
    ----------
    panel
        Customers, and when within a period they left.
    decay
        Share that is left after one period, in [0, 1), of all channels or of each, shape (C,).
    touches
        Counts in the place of the panel's own, such as with a channel withheld or by half as many of each,
        shape (N, P, C).
    bend
        b above 0: effects level off, and every stock is f_b of itself.
    """
    stocks = _stocks(panel, panel.touches if touches is None else touches, decay=decay, bend=bend)
    if panel.announces:
        stocks[:, :, panel.announcing] = 0.0
    return stocks


def _stocks(
    panel: Panel, counts: NDArray[np.floating], *, decay: float | Float, bend: float
) -> NDArray[np.float32]:
    """Stocks of all channels, whatever their touches announce."""
    decay = np.asarray(decay, dtype=np.float64)
    moments = _moments_of_leaving(panel)
    if moments is None:
        stocks = decayed_stocks(counts, decay=decay)
        for t in range(counts.shape[1] if bend else 0):
            stocks[:, t] = levelled(stocks[:, t], bend)
        return stocks
    if bend:
        return _bent_stocks(panel, counts, moments, decay=decay, bend=bend)
    stayed = _stayed_logs(panel, moments, int(np.ceil(counts.max(initial=0))))
    kept = _mean_kept(decay, moments).astype(np.float32)
    stocks = empty_beside(counts, np.float32)
    carried = np.zeros(stocks[:, 0].shape, dtype=np.float32)
    for t in range(counts.shape[1]):
        new = np.log1p(counts[:, t], dtype=np.float32)
        stocks[:, t] = kept * carried + _at(counts[:, t], stayed[t])
        own, share, before = _at_renewal(panel, counts, t)
        stocks[own, t] = decay**share * carried[own] + np.log1p(before)
        if panel.exit is not None and panel.exit_share is not None:
            left = panel.exit == t
            own = np.asarray(decay ** panel.exit_share[left, None], dtype=np.float32)
            stocks[left, t] = own * carried[left] + new[left]
        carried = decay.astype(np.float32) * carried + new
    return stocks


def _bent_stocks(
    panel: Panel, counts: NDArray[np.floating], moments: NDArray[np.float64], *, decay: Float, bend: float
) -> NDArray[np.float32]:
    """Mean of f_b(S) over the moments of leaving; in the row of who leaves f_b(S) at his own."""
    most = int(np.ceil(counts.max(initial=0)))
    chances = _chances(panel, moments)
    powers = _thinned_powers(most, CHANCES, bend)
    stocks = empty_beside(counts, np.float32)
    carried = np.zeros(stocks[:, 0].shape, dtype=np.float32)
    for t in range(counts.shape[1]):
        new = np.log1p(counts[:, t], dtype=np.float32)
        kept = np.zeros_like(carried)
        for k, f in enumerate(moments):
            table = _between(powers, chances[t, :, k])
            kept += np.exp((-bend * decay**f).astype(np.float32) * carried) * _at(counts[:, t], table)
        stocks[:, t] = (1.0 - kept / len(moments)) / bend
        own, share, before = _at_renewal(panel, counts, t)
        stocks[own, t] = levelled(decay**share * carried[own] + np.log1p(before), bend)
        if panel.exit is not None and panel.exit_share is not None:
            left = panel.exit == t
            own = np.asarray(decay ** panel.exit_share[left, None], dtype=np.float32)
            stocks[left, t] = levelled(own * carried[left] + new[left], bend)
        carried = decay.astype(np.float32) * carried + new
    return stocks


def _thinned_powers(most: int, moments: NDArray[np.floating], bend: float) -> NDArray[np.float64]:
    """E (1 + B)^-b, B ~ Binomial(N, f), for each moment f and N = 0..most, shape (F, most + 1)."""
    exact = np.arange(min(most, EXACT) + 1)
    many = np.arange(len(exact), most + 1)
    found = np.empty((len(moments), most + 1))
    for row, f in zip(found, moments, strict=True):
        row[: len(exact)] = stats.binom.pmf(exact[None, :], exact[:, None], f) @ (1.0 + exact) ** -bend
        row[len(exact) :] = (1.0 + many * f) ** -bend
    return found


def _at_renewal(
    panel: Panel, counts: NDArray[np.floating], t: int
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Who renews in a period, the share of it that had passed then, (R, 1), touches until then, (R, C)."""
    if panel.renewal_share is None or panel.before_renewal is None:
        return (
            np.zeros(0, dtype=np.int64),
            np.zeros((0, 1), np.float32),
            np.zeros((0, counts.shape[2]), np.float32),
        )
    own = np.flatnonzero(panel.renewal_share[:, t] > 0)
    whole = np.asarray(panel.touches[own, t], dtype=np.float32)
    share = np.asarray(panel.renewal_share[own, t, None], dtype=np.float32)
    passed = np.divide(panel.before_renewal[own, t], whole, out=np.zeros_like(whole), where=whole > 0)
    return own, share, np.asarray(passed * counts[own, t], dtype=np.float32)


def _at(counts: NDArray[np.floating], tables: NDArray[np.floating]) -> NDArray[np.float32]:
    """What each channel's table of whole counts says of these; between two of them along log(1 + count)."""
    whole = np.rint(counts).astype(np.int64)
    if np.array_equal(whole, counts):
        return np.asarray(tables[np.arange(len(tables)), whole], dtype=np.float32)
    steps = np.log1p(np.arange(tables.shape[1]))
    found = [np.interp(np.log1p(own), steps, table) for own, table in zip(counts.T, tables, strict=True)]
    return np.stack(found, axis=1).astype(np.float32)


def _chances(panel: Panel, moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chance G of each period's and channel's touches to have come by each of F moments, shape (P, C, F)."""
    shape = (panel.n_periods, panel.n_channels)
    if panel.touch_moments is None:
        return np.broadcast_to(moments, (*shape, len(moments)))
    parts = panel.touch_moments.shape[2]
    counts = np.asarray(panel.touch_moments[: shape[0]], dtype=np.float64) + 1.0 / parts
    passed = np.zeros((*shape, parts + 1))
    np.cumsum(counts / counts.sum(axis=2, keepdims=True), axis=2, out=passed[:, :, 1:])
    low = np.minimum((moments * parts).astype(np.int64), parts - 1)
    over = moments * parts - low
    found: NDArray[np.float64] = passed[:, :, low] * (1.0 - over) + passed[:, :, low + 1] * over
    return found


def _between(by_chance: NDArray[np.float64], chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of a table by `CHANCES` at these, shape (..., most + 1)."""
    above = np.clip(np.searchsorted(CHANCES, chances), 1, len(CHANCES) - 1)
    over = ((chances - CHANCES[above - 1]) / (CHANCES[above] - CHANCES[above - 1]))[..., None]
    found: NDArray[np.float64] = by_chance[above - 1] * (1.0 - over) + by_chance[above] * over
    return found


def _stayed_logs(panel: Panel, moments: NDArray[np.float64], most: int) -> NDArray[np.float32]:
    """E_F E log(1 + B) for N = 0..most touches of each period and channel, shape (P, C, most + 1)."""
    shape = (panel.n_periods, panel.n_channels, most + 1)
    if panel.touch_moments is None:
        return np.broadcast_to(thinned_log(most, moments).astype(np.float32), shape)
    chances = _chances(panel, moments)
    logs = _logs(most)
    found = np.zeros(shape)
    for k in range(len(moments)):
        found += _between(logs, chances[:, :, k])
    return (found / len(moments)).astype(np.float32)


@lru_cache(maxsize=8)
def _logs(most: int) -> NDArray[np.float64]:
    """E log(1 + B), B ~ Binomial(N, G), for each of `CHANCES` and N = 0..most."""
    return np.stack([thinned_log(most, np.array([chance])) for chance in CHANCES])


def kept_stocks(
    panel: Panel, carried: NDArray[np.floating], *, decay: float | Float = DECAY
) -> NDArray[np.float64]:
    """What is left of the stocks after the period before, in the row of one who stays, shape (N, C).

    Parameters
    ----------
    panel
        Says whether customers leave within periods.
    carried
        Decayed stocks after the period before, shape (N, C).
    decay
        Share that is left after one period, in [0, 1), of all channels or of each, shape (C,).
    """
    moments = _moments_of_leaving(panel)
    kept = decay if moments is None else _mean_kept(np.asarray(decay), moments)
    return np.asarray(kept * carried, dtype=np.float64)


def _mean_kept(decay: Float, moments: NDArray[np.float64]) -> Float:
    """Mean over the moments of leaving of what is left of a stock by then, of the shape of the decay."""
    kept: Float = (decay[..., None] ** moments).mean(axis=-1)
    return kept


def new_stocks(
    panel: Panel, counts: NDArray[np.floating], periods: int | NDArray[np.int64]
) -> NDArray[np.float64]:
    """What the touches of a period add to stocks in the row of one who stays, shape (R, C).

    Nothing where they follow purchases (see `earlier_stocks`) or announce what they seem to do.

    Parameters
    ----------
    panel
        Says whether customers leave within periods.
    counts
        Touches of a period, shape (R, C).
    periods
        Which one: the same for all rows, or that of each, shape (R,).
    """
    moments = _moments_of_leaving(panel)
    if moments is None:
        return np.where(panel.late | panel.announcing, 0.0, np.log1p(counts, dtype=np.float64))
    whole = np.rint(counts).astype(np.int64)
    tables = _stayed_logs(panel, moments, int(whole.max(initial=0)))
    period = np.asarray(periods)[..., None]
    added = tables[period, np.arange(panel.n_channels), whole]
    return np.where(panel.late | panel.announcing, 0.0, added)


def earlier_stocks(panel: Panel, stocks: NDArray[np.floating]) -> NDArray[np.float64]:
    """Stocks without touches of the period itself that follow its purchases, shape (N, P, C).

    Parameters
    ----------
    panel
        Says which channels' touches do.
    stocks
        As of `panel_stocks`.
    """
    felt = np.array(stocks, dtype=np.float64)
    if panel.late.any():
        counts = panel.touches.reshape(-1, panel.n_channels)
        periods = np.tile(np.arange(panel.n_periods), panel.n_customers)
        new = new_stocks(replace(panel, reacts=None), counts, periods).reshape(felt.shape)
        felt[:, :, panel.late] = np.maximum(felt - new, 0.0)[:, :, panel.late]
    return felt


def thinned_log(most: int, moments: NDArray[np.floating]) -> NDArray[np.float64]:
    """E log(1 + B), B ~ Binomial(N, f), mean over the moments f, for N = 0..most, shape (most + 1,).

    Parameters
    ----------
    most
        Highest count N.
    moments
        Shares f of the period's touches, in [0, 1], shape (F,).

    Examples
    --------
    >>> thinned_log(1, np.array([0.5])).round(3).tolist()
    [0.0, 0.347]
    """
    exact = np.arange(min(most, EXACT) + 1)
    found = np.zeros(most + 1)
    for f in moments:
        chance = stats.binom.pmf(exact[None, :], exact[:, None], f)
        found[: len(exact)] += chance @ np.log1p(exact)
        many = np.arange(len(exact), most + 1)
        found[len(exact) :] += np.log1p(many * f) - 0.5 * many * f * (1.0 - f) / (1.0 + many * f) ** 2
    return found / len(moments)


def moment_precision(panel: Panel) -> NDArray[np.float64] | None:
    """Precision D of each channel's effect on leaving for the moments that are not seen, shape (C,).

    None where all leave at the end of a period. Of those who stay a mean over moments is known, and

        E_F exp(beta S(f)) = exp(beta S) (1 + beta^2 Var_F S(f) / 2 + ...),

    so that with hazards h the log-likelihood is that of S less beta^2 D / 2, D = sum h Var_F S(f) over the
    rows of those who stay. Without it effects are as much too large as the mean varies less than what it is
    the mean of. The hazard is that of the period; decay within the period is left out of the variance.
    Where leaving is silent this holds of acts that end with it; of touches that go on the mean alone is known
    of who leaves, too, and both terms cancel.

    Parameters
    ----------
    panel
        Customers, and when within a period they left.
    """
    moments = _moments_of_leaving(panel)
    if moments is None:
        return None
    if panel.contractual:
        at_risk, leaves = panel.at_risk, panel.leaves
    else:
        at_risk, leaves = _seeming_to_leave(panel)
    hazard = leaves.sum(axis=0) / np.maximum(at_risk.sum(axis=0), 1)
    variances = _thinned_variances(panel, int(np.rint(panel.touches.max(initial=0))), moments)
    precision = np.zeros(panel.n_channels)
    for t in range(panel.n_periods):
        stays = at_risk[:, t] & ~leaves[:, t]
        if panel.renewal_share is not None:
            stays &= panel.renewal_share[:, t] == 0  # at their own renewal nothing is unseen
        counts = np.rint(panel.touches[stays, t]).astype(np.int64)
        precision += hazard[t] * np.where(panel.late, 0.0, _at(counts, variances[t]).sum(axis=0))
    return precision if panel.contractual else np.where(panel.tells_life, precision, 0.0)


def _seeming_to_leave(panel: Panel) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where customers are known to have been there, and the periods of last signs with silence after them.

    Each of shape (N, P). Roughly: silence of fewer than `SILENCE` periods at the end is taken for presence.
    """
    last = last_true((panel.purchases > 0) | (panel.own_acts > 0), none=panel.entry)
    periods = np.arange(panel.n_periods)
    last = np.where(last >= panel.n_periods - SILENCE, panel.n_periods, last)
    return (periods >= panel.entry[:, None]) & (periods <= last[:, None]), periods == last[:, None]


def _thinned_variances(panel: Panel, most: int, moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance of log(1 + B) over moments and B, shape (P, C, most + 1); above `EXACT` it stays as there."""
    exact = np.arange(min(most, EXACT) + 1)
    log = np.log1p(exact)
    squares = [stats.binom.pmf(exact[None, :], exact[:, None], chance) @ log**2 for chance in CHANCES]
    chances = _chances(panel, moments)
    logs = _logs(len(exact) - 1)
    first, second = np.zeros((2, *chances.shape[:2], len(exact)))
    for k in range(len(moments)):
        first += _between(logs, chances[:, :, k]) / len(moments)
        second += _between(np.stack(squares), chances[:, :, k]) / len(moments)
    variance: NDArray[np.float64] = np.maximum(second - first**2, 0.0)
    return variance[:, :, np.minimum(np.arange(most + 1), len(exact) - 1)]


def _moments_of_leaving(panel: Panel) -> NDArray[np.float64] | None:
    """Quantiles of the share of the period of leaving that was lived through; None where all of it was."""
    if panel.at_any_moment and not panel.contractual:
        return (np.arange(MOMENTS) + 0.5) / MOMENTS
    if panel.exit is None or panel.exit_share is None:
        return None
    shares = np.asarray(panel.exit_share[panel.exit < panel.n_periods], dtype=np.float64)
    if not len(shares) or shares.min() >= 1.0:
        return None
    moments: NDArray[np.float64] = np.quantile(shares, (np.arange(MOMENTS) + 0.5) / MOMENTS)
    return moments


def decayed_stocks(touches: NDArray[np.floating], *, decay: float | Float = DECAY) -> NDArray[np.float32]:
    """Stocks S_t = decay * S_(t-1) + log(1 + touches_t), shape (N, P, C), this period's touches included.

    Parameters
    ----------
    touches
        Counts per customer, period and channel, shape (N, P, C).
    decay
        Share that is left after one period, in [0, 1), of all channels or of each, shape (C,).

    Examples
    --------
    >>> decayed_stocks(np.array([[[1.0], [0.0]]]), decay=0.5).round(3).tolist()
    [[[0.6930000185966492], [0.34700000286102295]]]
    """
    stocks: NDArray[np.float32] = empty_beside(touches, np.float32)
    np.log1p(touches, dtype=np.float32, out=stocks)
    for t in range(1, stocks.shape[1]):
        stocks[:, t] += np.asarray(decay, dtype=np.float32) * stocks[:, t - 1]
    return stocks


def mean_ratio(old: NDArray[np.floating], new: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean of old stocks over mean of new ones by channel, shape (C,), 1 without any: effects carry over so.

    Parameters
    ----------
    old, new
        Stocks of the same touches under two decays, shape (N, P, C).
    """
    before, after = old.mean(axis=(0, 1), dtype=np.float64), new.mean(axis=(0, 1), dtype=np.float64)
    ratio: NDArray[np.float64] = np.divide(before, after, out=np.ones_like(after), where=after > 0)
    return ratio
