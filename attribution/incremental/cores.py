"""Customers are independent: a pass over them runs on every core, and gives the same bits as on one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Part = TypeVar("Part")
Found = TypeVar("Found")
AT_A_TIME = 1_000
"""Customers of one pass: its arrays stay near the core, and where it ends does not depend on the cores."""


def by_customers(
    compute: Callable[[slice], tuple[NDArray[Any], ...]], customers: int
) -> tuple[NDArray[Any], ...]:
    """What `compute` gives for all customers, who are the first axis of each array.

    `compute` takes a slice of the customers and must let go of the interpreter, as compiled loops do.
    """
    rows = [slice(k, min(k + AT_A_TIME, customers)) for k in range(0, max(customers, 1), AT_A_TIME)]
    parts = on_every_core(compute, rows, level="customers")
    return tuple(np.concatenate(found) for found in zip(*parts, strict=True))


def on_every_core(
    compute: Callable[[Part], Found], parts: Sequence[Part], *, level: Literal["customers", "chunks"]
) -> Iterator[Found]:
    """What `compute` gives for each part, in their order; what it does in turn is on another level."""
    return _pool(level).map(compute, parts) if min(_cores(), len(parts)) > 1 else map(compute, parts)


def _cores() -> int:
    """Cores that this process may use, at most those that numerical libraries were told."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(free, int(told)) if told.isdigit() and int(told) else free


@cache
def _pool(level: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=_cores(), thread_name_prefix=level)
