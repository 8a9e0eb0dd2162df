"""Which customers a question means: a filter in words of the language, or the short forms of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, create_model

from api.problems import Problem
from api.served import Served
from clv.tables import CUSTOMERS, Column
from experiments.filters import (
    LONGEST,
    Combination,
    Comparison,
    Filter,
    FilterError,
    bind_filter,
    parse_filter,
)
from experiments.segments import consents_to
from histories.errors import nearest

_EXAMPLE: Final = "and(gt(churn_probability,.7),gt(customer_lifetime_value,200))"


class Question(BaseModel):
    """Which customers: `filter`, and short forms of it; all that is given must hold."""

    model_config = ConfigDict(extra="forbid")

    filter: (
        Annotated[
            str,
            Field(max_length=LONGEST, description="See `/v1/segments` and the guide.", examples=[_EXAMPLE]),
        ]
        | None
    ) = None
    decile: Annotated[int, Field(ge=1, le=10, description="1 is the tenth worth most.")] | None = None
    purpose: (
        Annotated[
            str,
            Field(
                pattern=r"\w", max_length=60, description="Only who consents to it.", examples=["marketing"]
            ),
        ]
        | None
    ) = None

    def bound(self, served: Served) -> Filter | None:
        """The filter over what is served; None for everybody.

        Raises
        ------
        Problem
            When a column does not exist, a value has another type, or the text is no filter.
        """
        parts: list[Filter] = []
        if self.decile is not None:
            parts.append(_compared("eq", "decile", self.decile))
        for name, (operator, column, _) in _SHORT.items():
            value = getattr(self, name)
            if value is not None:
                parts.append(_compared(operator, column, value))
        place = "purpose"
        try:
            if self.purpose is not None:
                parts.append(consents_to(self.purpose, served.store.types))
            place = "filter"
            if self.filter is not None:
                parts.append(bind_filter(parse_filter(self.filter), served.store.types, served.segments))
        except FilterError as error:
            raise Problem(
                name="invalid-request",
                detail=f"The {place} is not right; see errors.",
                errors=[{"at": f"query.{place}", "detail": str(error)}],
            ) from error
        if len(parts) < 2:
            return parts[0] if parts else None
        return Combination(operator="and", parts=tuple(parts))


def _bounded(column: Column) -> Any:
    """The type of a number that a column may be compared with."""
    if column.unit == "share":
        bounds = Field(ge=0, le=1, description=column.words)
    elif column.dtype == pl.Int64:
        return Annotated[int, Field(ge=0, le=2**31, description=column.words)] | None
    else:
        bounds = Field(allow_inf_nan=False, description=column.words)
    return Annotated[float, bounds] | None


_SHORT: Final = {
    f"{end}_{column.name}": (operator, column.name, _bounded(column))
    for column in CUSTOMERS
    if column.filterable
    for end, operator in (("min", "ge"), ("max", "le"))
}
"""Short forms: how which column is compared, and with what type of number."""

if TYPE_CHECKING:
    CustomerFilter = Question
else:
    CustomerFilter = create_model(
        "CustomerFilter", __base__=Question, **{name: (kind, None) for name, (_, _, kind) in _SHORT.items()}
    )


def _compared(operator: str, column: str, value: float) -> Comparison:
    return Comparison(operator=operator, column=column, values=(float(value),), at=1)


def fields_of(served: Served, asked: str | None) -> list[str] | None:
    """Columns named in a list with commas, each once, without the id; None when none were asked for.

    Raises
    ------
    Problem
        When there is no such column.
    """
    if asked is None:
        return None
    names = list(dict.fromkeys(name.strip() for name in asked.split(",") if name.strip()))
    _check(served, names, "query.fields")
    return [name for name in names if name != "customer_id"]


def check_column(served: Served, name: str, at: str) -> str:
    """The column's name.

    Raises
    ------
    Problem
        When there is no such column.
    """
    _check(served, [name], at)
    return name


def _check(served: Served, names: Sequence[str], at: str) -> None:
    known = ("customer_id", *served.store.filterable)
    errors = [
        {"at": at, "detail": f"There is no such column; {nearest(name, known)}"}
        for name in names
        if name not in known
    ]
    if errors:
        raise Problem(name="invalid-request", detail="A column is not known; see errors.", errors=errors)
