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

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.days import Added, ByChannel, ByDay, Days
from attribution.incremental.thinned import ByPeriod, by_count, mean_kept, stayed_logs, thinned_variances
from histories.arrays import Flags, Float
from histories.mapped import empty_beside
from histories.panel import Panel, last_true

DECAY = 0.6
"""Share of a stock that is left one period later, unless it is given or estimated."""
MOMENTS = 16
"""Quantiles that stand for the distribution of the moments of leaving."""
Timing = bool | tuple[bool, ...]
"""Whether stocks are by the day of touches: of all channels, or of each, length C."""
SILENCE = 3
"""Periods without a sign at the end from which a customer seems to have left."""


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
    by_day: Timing = False,
) -> NDArray[np.float32]:
    """Stocks of a panel's touches at the moments at which customers leave, shape (N, P, C).

    The moments are those of all in the panel who left: slices of one panel's stocks have the same.

    Parameters
    ----------
    panel
        Customers, and when within a period they left.
    decay
        Share that is left after one period, in [0, 1), of all channels or of each, shape (C,).
    touches
        Counts in the place of the panel's own, such as with a channel withheld or by half as many of each,
        shape (N, P, C). They come when the panel's own do.
    bend
        b above 0: effects level off, and every stock is f_b of itself.
    by_day
        Whether touches work from their day on (`days`) instead of for all of their period, of all channels or
        of each; where the panel does not know their moments they never do.
    """
    counts = panel.touches if touches is None else touches
    stocks = _stocks(panel, counts, decay=np.asarray(decay, dtype=np.float64), bend=bend, by_day=by_day)
    if panel.announces:
        stocks[:, :, panel.announcing] = 0.0
    return stocks


def _stocks(
    panel: Panel, counts: NDArray[np.floating], *, decay: Float, bend: float, by_day: Timing
) -> NDArray[np.float32]:
    """Stocks of all channels, whatever their touches announce."""
    moments = _moments_of_leaving(panel)
    day = _of_days(panel, by_day)
    if not day.any() and moments is None:
        stocks = decayed_stocks(counts, decay=decay)
        for t in range(counts.shape[1] if bend else 0):
            stocks[:, t] = levelled(stocks[:, t], bend)
        return stocks
    added: Added
    if not day.all():
        at = np.ones(1) if moments is None else moments
        added = ByPeriod(panel, counts, at, decay=decay, bend=bend)
    if day.any():
        days = _days(panel, decay, int(np.ceil(counts.max(initial=0))))
        by_days = ByDay(panel, counts, days=days, moments=_moments_of_stocks(panel), bend=bend)
        added = by_days if day.all() else ByChannel(day, by_days, added)
    stocks = empty_beside(counts, np.float32)
    carried = np.zeros(stocks[:, 0].shape, dtype=np.float32)
    for t in range(counts.shape[1]):
        stocks[:, t] = added.staying(t, carried)
        own, share, before = _at_renewal(panel, counts, t)
        stocks[own, t] = levelled(decay**share * carried[own] + added.until(t, own, share, before), bend)
        if panel.exit is not None and panel.exit_share is not None:
            left = np.flatnonzero(panel.exit == t)
            share = np.asarray(panel.exit_share[left, None])
            kept = np.asarray(decay**share, dtype=np.float32)
            stocks[left, t] = levelled(kept * carried[left] + added.until(t, left, share), bend)
        carried = decay.astype(np.float32) * carried + added.carried_on(t)
    return stocks


def _of_days(panel: Panel, by_day: Timing) -> Flags:
    """Channels whose stocks are by the day of touches, shape (C,)."""
    return np.broadcast_to(np.asarray(by_day), (panel.n_channels,)) & (panel.touch_share is not None)


def _days(panel: Panel, decay: float | Float, most: int) -> Days:
    """What touches of up to so many a period leave from their day on."""
    decays = np.broadcast_to(np.asarray(decay, dtype=np.float64), (panel.n_channels,))
    return Days(decays, _edges_of_stocks(panel), most)


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


def kept_stocks(
    panel: Panel, carried: NDArray[np.floating], *, decay: float | Float = DECAY, by_day: Timing = False
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
    by_day
        Whether stocks are by the day of touches.
    """
    moments = _moments_of_leaving(panel)
    kept = decay if moments is None else mean_kept(np.asarray(decay), moments)
    kept = np.where(_of_days(panel, by_day), mean_kept(np.asarray(decay), _moments_of_stocks(panel)), kept)
    return np.asarray(kept * carried, dtype=np.float64)


def new_stocks(
    panel: Panel,
    counts: NDArray[np.floating],
    periods: int | NDArray[np.int64],
    *,
    decay: float | Float = DECAY,
    by_day: Timing = True,
    ticks: NDArray[np.uint8] | None = None,
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
    decay
        Share that is left after one period, of all channels or of each, shape (C,); it counts by day only.
    by_day
        Whether stocks are by the day of touches, if their moments are known.
    ticks
        Mean moments of these touches as in `Panel.touch_share`, shape (R, C); None: stocks are by the period.
    """
    moments = _moments_of_leaving(panel)
    added: NDArray[np.floating]
    if moments is None:
        added = np.log1p(counts, dtype=np.float64)
    else:
        whole = np.rint(counts).astype(np.int64)
        tables = stayed_logs(panel, moments, int(whole.max(initial=0)))
        added = tables[np.asarray(periods)[..., None], np.arange(panel.n_channels), whole]
    if ticks is not None:
        days = _days(panel, decay, int(np.ceil(counts.max(initial=0))))
        added = np.where(_of_days(panel, by_day), days.staying(counts, ticks), added)
    return np.where(panel.late | panel.announcing, 0.0, added)


def stocks_at(
    panel: Panel,
    counts: NDArray[np.floating],
    moment: NDArray[np.floating],
    *,
    after: NDArray[np.floating],
    decay: float | Float = DECAY,
    by_day: Timing = True,
    ticks: NDArray[np.uint8] | None = None,
) -> NDArray[np.float64]:
    """What touches of a period that all came until a moment of each row, (R, 1), leave after it, (R, C).

    `after` is the share that is left then of stocks by the day; other arguments as of `new_stocks`.
    """
    whole = np.log1p(np.asarray(counts, dtype=np.float64))
    if ticks is None:
        return whole
    days = _days(panel, decay, int(np.ceil(counts.max(initial=0))))
    left = days.at(moment, counts, counts, ticks, all_until=True).astype(np.float64)
    return np.where(_of_days(panel, by_day), left * after, whole)


def carried_on(
    panel: Panel,
    counts: NDArray[np.floating],
    *,
    decay: float | Float = DECAY,
    by_day: Timing = True,
    ticks: NDArray[np.uint8] | None = None,
) -> NDArray[np.float64]:
    """What is left of the touches of a period at its end, shape (R, C); arguments as of `new_stocks`."""
    whole = np.log1p(np.asarray(counts, dtype=np.float64))
    if ticks is None:
        return whole
    days = _days(panel, decay, int(np.ceil(counts.max(initial=0))))
    return np.where(_of_days(panel, by_day), days.carried_on(counts, ticks).astype(np.float64), whole)


def carried_stocks(
    panel: Panel, *, decay: float | Float = DECAY, by_day: Timing = False
) -> NDArray[np.float64]:
    """What is left of touches at the end of the last period, shape (N, C); arguments as of `panel_stocks`."""
    ticks = ticks_of(panel, by_day=by_day)
    carried = np.zeros((panel.n_customers, panel.n_channels))
    for t in range(panel.n_periods):
        own = None if ticks is None else ticks[:, t]
        carried = decay * carried + carried_on(
            panel, panel.touches[:, t], decay=decay, by_day=by_day, ticks=own
        )
    return carried


def ticks_of(panel: Panel, *, by_day: Timing) -> NDArray[np.uint8] | None:
    """Mean moments of the panel's touches where any stock is by the day, else None."""
    return panel.touch_share if np.any(by_day) else None


def earlier_stocks(
    panel: Panel,
    stocks: NDArray[np.floating],
    *,
    decay: float | Float = DECAY,
    by_day: Timing = False,
) -> NDArray[np.float64]:
    """Stocks without touches of the period itself that follow its purchases, shape (N, P, C).

    Parameters
    ----------
    panel
        Says which channels' touches do.
    stocks
        As of `panel_stocks`.
    decay, by_day
        As these were made.
    """
    felt = np.array(stocks, dtype=np.float64)
    if panel.late.any():
        flat, ticks = (-1, panel.n_channels), ticks_of(panel, by_day=by_day)
        periods = np.tile(np.arange(panel.n_periods), panel.n_customers)
        new = new_stocks(
            replace(panel, reacts=None),
            panel.touches.reshape(flat),
            periods,
            decay=decay,
            by_day=by_day,
            ticks=None if ticks is None else ticks.reshape(flat),
        ).reshape(felt.shape)
        felt[:, :, panel.late] = np.maximum(felt - new, 0.0)[:, :, panel.late]
    return felt


def moment_precision(
    panel: Panel, *, decay: float | Float = DECAY, by_day: Timing = False
) -> NDArray[np.float64] | None:
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
    decay, by_day
        As the stocks were made. By day the variance is that of touches at their moments, decay and all.
    """
    moments = _moments_of_leaving(panel)
    if moments is None:
        return None
    if panel.contractual:
        at_risk, leaves = panel.at_risk, panel.leaves
    else:
        at_risk, leaves = _seeming_to_leave(panel)
    hazard = leaves.sum(axis=0) / np.maximum(at_risk.sum(axis=0), 1)
    most = int(np.rint(panel.touches.max(initial=0)))
    ticks, day = ticks_of(panel, by_day=by_day), _of_days(panel, by_day)
    variances = thinned_variances(panel, most, moments)
    precision = np.zeros(panel.n_channels)
    for t in range(panel.n_periods):
        stays = at_risk[:, t] & ~leaves[:, t]
        if panel.renewal_share is not None:
            stays &= panel.renewal_share[:, t] == 0  # at their own renewal nothing is unseen
        counts = np.rint(panel.touches[stays, t]).astype(np.int64)
        variance = by_count(counts, variances[t]).astype(np.float64)
        if ticks is not None:
            by_days = _days(panel, decay, most).variance(counts, ticks[stays, t]).astype(np.float64)
            variance = np.where(day, by_days, variance)
        precision += hazard[t] * np.where(panel.late, 0.0, variance.sum(axis=0))
    return precision if panel.contractual else np.where(panel.tells_life, precision, 0.0)


def _seeming_to_leave(panel: Panel) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where customers are known to have been there, and the periods of last signs with silence after them.

    Each of shape (N, P). Roughly: silence of fewer than `SILENCE` periods at the end is taken for presence.
    """
    last = last_true((panel.purchases > 0) | (panel.own_acts > 0), none=panel.entry)
    periods = np.arange(panel.n_periods)
    last = np.where(last >= panel.n_periods - SILENCE, panel.n_periods, last)
    return (periods >= panel.entry[:, None]) & (periods <= last[:, None]), periods == last[:, None]


def _moments_of_leaving(panel: Panel) -> NDArray[np.float64] | None:
    """Quantiles of the share of the period of leaving that was lived through; None where all of it was."""
    return _quantiles_of_leaving(panel, (np.arange(MOMENTS) + 0.5) / MOMENTS)


def _moments_of_stocks(panel: Panel) -> NDArray[np.float64]:
    """Moments at which stocks by the day are taken: those of leaving within a period, else even ones.

    Purchases come all through it, and who leaves at its end has made up his mind before.
    """
    levels = (np.arange(MOMENTS) + 0.5) / MOMENTS
    found = _quantiles_of_leaving(panel, levels)
    return levels if found is None else found


def _edges_of_stocks(panel: Panel) -> NDArray[np.float64]:
    """The quantiles between which these are."""
    levels = np.arange(MOMENTS + 1) / MOMENTS
    found = _quantiles_of_leaving(panel, levels)
    return levels if found is None else found


def _quantiles_of_leaving(panel: Panel, levels: NDArray[np.float64]) -> NDArray[np.float64] | None:
    if panel.at_any_moment and not panel.contractual:
        return levels
    if panel.exit is None or panel.exit_share is None:
        return None
    shares = np.asarray(panel.exit_share[panel.exit < panel.n_periods], dtype=np.float64)
    if not len(shares) or shares.min() >= 1.0:
        return None
    quantiles: NDArray[np.float64] = np.quantile(shares, levels)
    return quantiles


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
