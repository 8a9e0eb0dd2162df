"""Long work beside the requests: bounded, so that one client cannot stop the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from api.problems import Problem

_WAITING: Final = 8
"""Pieces of work that wait for the one being done; who brings more is asked to come back."""

_T = TypeVar("_T")


class WorkPool:
    """One thread for work of one kind, and a short queue before it, so that it stops nothing else."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=kind)
        self._begun = 0

    async def run(self, work: Callable[[], _T]) -> _T:
        """Do the work in its turn.

        Raises
        ------
        Problem
            When too much is waiting already.
        """
        if self._begun > _WAITING:
            raise Problem(
                name="busy",
                detail=f"{self._begun} requests of this kind ({self._kind}) are waiting. Come back.",
                headers={"retry-after": "2"},
            )
        self._begun += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._begun -= 1

    def close(self) -> None:
        """Let no further work begin."""
        self._executor.shutdown(wait=False, cancel_futures=True)
