"""Small cells are left out, so that nobody can be recognised, and cannot be recovered from totals."""

from __future__ import annotations

from collections.abc import Mapping


def cells_to_suppress(counts: Mapping[str, int], *, smallest: int) -> frozenset[str]:
    """Names of the cells of one total that must not be shown.

    A cell below `smallest` customers is suppressed. Where that leaves a single hidden cell, or hidden cells
    that together are below `smallest`, the total minus the others would give them away, so the next smallest
    cells are hidden too.

    >>> sorted(cells_to_suppress({"north": 500, "south": 400, "isle": 3}, smallest=10))
    ['isle', 'south']
    >>> cells_to_suppress({"north": 500, "south": 400}, smallest=10)
    frozenset()
    """
    ordered = sorted(counts, key=lambda name: (counts[name], name))
    hidden = [name for name in ordered if counts[name] < smallest]
    if not hidden:
        return frozenset()
    for name in ordered[len(hidden) :]:
        if len(hidden) > 1 and sum(counts[other] for other in hidden) >= smallest:
            break
        hidden.append(name)
    return frozenset(hidden)
