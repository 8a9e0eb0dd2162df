"""Values of customers who are not stored, from their purchase summaries."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.bodies import PredictBody, decode_body, schema_of
from api.dependencies import ServedDep, refusals
from api.pool import WorkPool
from api.problems import Problem
from api.replies import Reply
from api.responses import Predictions

router = APIRouter(prefix="/v1", tags=["values"])

_FEW = 50  # up to here a prediction takes less time than handing it to a thread


@router.post(
    "/values/predict",
    response_model=Predictions,
    openapi_extra={"requestBody": schema_of(PredictBody)},
    responses=refusals(
        "bad-request", "busy", "no-purchase-model", "slow-request", "too-large", "unsupported-media-type"
    ),
)
async def predict(request: Request, served: ServedDep) -> Response:
    """Value up to 10,000 customers from frequency, recency, T and monetary_value, by the run's own forecast.

    A part of that forecast reads whole histories: where it counts and `purchases` are not sent, the rest
    stands in for it, and `notes` says so.

    A summary that no customer can have (recency above T, or recency without repeat purchases) gets null
    values, and its position stands in `invalid`.
    """
    body = await decode_body(request, PredictBody)
    _check_lengths(body)
    pool: WorkPool = request.app.state.predictions
    predictor = served.predictor if served.has_predictor else await pool.run(served.load_predictor)
    if predictor is None:
        raise Problem(
            name="no-purchase-model", detail="The run fitted no purchase model; see left_out in /v1/model."
        )
    predictor.check(body)
    if len(body.frequency) <= _FEW:
        valued = predictor.predict(body)
    else:
        valued = await pool.run(partial(predictor.predict, body))
    answer: dict[str, Any] = {
        "model_version": served.context["model_version"],
        "model": predictor.model,
        "horizon_months": predictor.horizon(body),
        "currency": served.context["currency"],
        "time_unit": predictor.rescorer.time_unit,
        "columns": valued.columns,
        "invalid": np.flatnonzero(valued.invalid),
        "notes": valued.notes,
    }
    return Reply(
        orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), headers=[(b"cache-control", b"no-store")]
    )


def _check_lengths(body: PredictBody) -> None:
    lengths = {"frequency": len(body.frequency), "recency": len(body.recency), "T": len(body.T)}
    if body.monetary_value is not None:
        lengths["monetary_value"] = len(body.monetary_value)
    if body.purchases is not None:
        lengths["purchases"] = len(body.purchases)
    if len(set(lengths.values())) > 1:
        raise Problem(
            name="invalid-request",
            detail="The lists must be of one length, one entry per customer.",
            errors=[{"at": f"$.{name}", "detail": f"{n} entries"} for name, n in lengths.items()],
        )
