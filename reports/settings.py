"""What a reader of the report may choose."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ReportSettings:
    """Section `[report]` of a configuration.

    Attributes
    ----------
    headline_effect
        The entry of `[[effects]]` whose retention uplift opens the report.
    title
        On the first page; by default made from the run's name.
    previous
        Bundle of the report before, for what changed; by default the one served, if it is of the same name.
    minimum_cell
        Cells with fewer customers are suppressed: 10 inside the company, 50 for publication.
    """

    headline_effect: str | None = None
    title: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    previous: Annotated[str, Field(min_length=1)] | None = None
    minimum_cell: Annotated[int, Field(ge=2, le=10**9)] = 10
