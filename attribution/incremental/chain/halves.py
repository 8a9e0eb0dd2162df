"""Customers are independent: a pass over them runs on every core, and gives the same bits as on one."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEWEST = 400
"""Customers for which another thread is worth its start."""


def by_customers(
    compute: Callable[[slice], tuple[NDArray[Any], ...]], customers: int
) -> tuple[NDArray[Any], ...]:
    """What `compute` gives for all customers, who are the first axis of each array.

    `compute` takes a slice of the customers and must let go of the interpreter, as compiled loops do.
    """
    threads = min(_cores(), customers // FEWEST)
    if threads < 2:
        return compute(slice(0, customers))
    ends = np.linspace(0, customers, threads + 1).astype(int).tolist()
    rows = [slice(first, last) for first, last in pairwise(ends)]
    parts = _pool().map(compute, rows)
    return tuple(np.concatenate(found) for found in zip(*parts, strict=True))


def _cores() -> int:
    """Cores that this process may use, at most those that numerical libraries were told."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(free, int(told)) if told.isdigit() and int(told) else free


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=_cores(), thread_name_prefix="customers")
