"""Predictions in the Open Inference Protocol, version 2, so that KServe, Triton and MLflow gateways can ask.

https://github.com/kserve/open-inference-protocol, REST. Tensors have the shape [n] or [n, 1]; what cannot be
known is null. A refusal is a problem document that also has the protocol's member `error`.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import orjson
from fastapi import APIRouter, Path, Request
from msgspec import Meta, Struct
from starlette.responses import Response

from api.bodies import MOST_ROWS, PredictBody, decode_body, schema_of
from api.dependencies import ServedDep, refusals
from api.pool import WorkPool
from api.prediction import Predictor
from api.problems import Problem
from api.replies import NO_STORE, Reply
from api.responses import InferenceAnswer, ModelMetadata
from api.served import Served

router = APIRouter(prefix="/v2", tags=["inference"])

_INPUTS: Final = {"frequency": "INT64", "recency": "FP64", "T": "FP64", "monetary_value": "FP64"}
_OUTPUTS: Final = (
    "probability_alive",
    "churn_probability",
    "expected_purchases",
    "expected_spend",
    "discounted_purchases",
    "customer_lifetime_value",
    "days_to_next_purchase",
)

ModelName = Annotated[str, Path(max_length=300, description="The run's name, as /v2 tells it.")]


class Tensor(Struct, frozen=True):
    """One input: a number for each customer."""

    name: Annotated[str, Meta(max_length=64, examples=["frequency"])]
    shape: Annotated[list[Annotated[int, Meta(ge=1)]], Meta(min_length=1, max_length=2, examples=[[2]])]
    datatype: Annotated[str, Meta(pattern="^(U?INT(8|16|32|64)|FP(16|32|64))$", examples=["INT64"])]
    data: Annotated[list[float | list[float | None] | None], Meta(min_length=1, max_length=MOST_ROWS)]


class Wanted(Struct, frozen=True):
    """One output that is asked for."""

    name: Annotated[str, Meta(max_length=64)]


_EXAMPLE: Final = [
    {"name": name, "shape": [1], "datatype": kind, "data": [value]}
    for (name, kind), value in zip(_INPUTS.items(), (2, 30.4, 38.9, 22.4), strict=True)
]


class InferenceBody(Struct, frozen=True):
    """Tensors frequency, recency, T and, for money, monetary_value; `horizon_months` as a parameter."""

    inputs: Annotated[list[Tensor], Meta(min_length=1, max_length=8, examples=[_EXAMPLE])]
    id: Annotated[str, Meta(max_length=200)] | None = None
    outputs: list[Wanted] | None = None
    parameters: dict[str, Any] | None = None


@router.get("", response_model=dict[str, Any], responses=refusals())
async def get_server(served: ServedDep) -> Response:
    """Which server this is, and the name of its model."""
    answer = {"name": "tributary", "version": "2", "extensions": [], "models": [_name(served)]}
    return Reply(orjson.dumps(answer), headers=[NO_STORE])


@router.get("/health/live", response_model=dict[str, bool])
async def is_live() -> Response:
    """Whether the process answers at all."""
    return Reply(b'{"live":true}', headers=[NO_STORE])


@router.get("/health/ready", response_model=dict[str, bool], responses={503: {"model": dict[str, bool]}})
async def is_ready(request: Request) -> Response:
    """Whether a valid bundle is served."""
    ok = request.scope["served"] is not None and request.app.state.watcher.damage is None
    return Reply(orjson.dumps({"ready": ok}), status=200 if ok else 503, headers=[NO_STORE])


@router.get("/models/{name}", response_model=ModelMetadata, responses=refusals("unknown-model"))
async def get_metadata(name: ModelName, served: ServedDep) -> Response:
    """The tensors that the model takes and gives."""
    _check_name(served, name)
    answer = {
        "name": name,
        "versions": [served.context["model_version"]],
        "platform": "tributary",
        "inputs": [_tensor(given, kind) for given, kind in _INPUTS.items()],
        "outputs": [*(_tensor(made, "FP64") for made in _OUTPUTS), _tensor("invalid", "BOOL")],
    }
    return Reply(orjson.dumps(answer), headers=[NO_STORE])


@router.get("/models/{name}/ready", response_model=dict[str, Any], responses=refusals("unknown-model"))
async def is_model_ready(name: ModelName, served: ServedDep) -> Response:
    """Whether the run fitted a model that predicts."""
    _check_name(served, name)
    ok = bool(served.bundle.model.get("purchase_model"))
    answer = {"name": name, "ready": ok}
    return Reply(orjson.dumps(answer), status=200 if ok else 503, headers=[NO_STORE])


@router.post(
    "/models/{name}/infer",
    response_model=InferenceAnswer,
    openapi_extra={"requestBody": schema_of(InferenceBody)},
    responses=refusals(
        "unknown-model",
        "bad-request",
        "busy",
        "no-purchase-model",
        "slow-request",
        "too-large",
        "unsupported-media-type",
    ),
)
async def infer(name: ModelName, request: Request, served: ServedDep) -> Response:
    """Value up to 10,000 customers from their purchase summaries; `invalid` marks impossible ones."""
    _check_name(served, name)
    body = await decode_body(request, InferenceBody)
    asked = _summary(body)
    wanted = _wanted(body)
    pool: WorkPool = request.app.state.predictions
    predictor: Predictor | None = (
        served.predictor if served.has_predictor else await pool.run(served.load_predictor)
    )
    if predictor is None:
        raise Problem(
            name="no-purchase-model", detail="The run fitted no purchase model; see left_out in /v1/model."
        )
    predictor.check(asked)
    valued = await pool.run(partial(predictor.predict, asked))
    columns, invalid = valued.columns, valued.invalid
    made: dict[str, tuple[str, Any]] = {column: ("FP64", values) for column, values in columns.items()}
    made["invalid"] = ("BOOL", np.asarray(invalid))
    answer = {
        "model_name": name,
        "model_version": served.context["model_version"],
        "id": body.id,
        "outputs": [
            {"name": output, "shape": [len(invalid)], "datatype": made[output][0], "data": made[output][1]}
            for output in wanted
        ],
    }
    return Reply(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), headers=[NO_STORE])


def _name(served: Served) -> str:
    return str(served.bundle.manifest.get("name") or "tributary")


def _check_name(served: Served, name: str) -> None:
    if name != _name(served):
        raise Problem(
            name="unknown-model", detail="There is no model of this name; /v2 tells the one there is."
        )


def _tensor(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "datatype": kind, "shape": [-1]}


def _wanted(body: InferenceBody) -> list[str]:
    known = (*_OUTPUTS, "invalid")
    names = list(known) if body.outputs is None else [output.name for output in body.outputs]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise _wrong("$.outputs", f"{len(unknown)} outputs are unknown; there are {', '.join(known)}")
    return list(dict.fromkeys(names))


def _summary(body: InferenceBody) -> PredictBody:
    """The tensors as a prediction's own body, under all its bounds."""
    columns: dict[str, Any] = {}
    for tensor in body.inputs:
        if tensor.name not in _INPUTS or tensor.name in columns:
            raise _wrong("$.inputs", f"inputs are {', '.join(_INPUTS)}, each at most once")
        rows, width = tensor.shape[0], tensor.shape[-1] if len(tensor.shape) > 1 else 1
        values = [v for part in tensor.data for v in (part if isinstance(part, list) else [part])]
        if width != 1 or len(values) != rows:
            raise _wrong("$.inputs", "a tensor has the shape [n] or [n, 1], and n values")
        columns[tensor.name] = values
    if len({len(values) for values in columns.values()}) > 1:
        raise _wrong("$.inputs", "the tensors must be of one length, one entry per customer")
    columns["frequency"] = [
        int(v) if v is not None and float(v).is_integer() else v for v in columns.get("frequency", [])
    ]
    horizon = (body.parameters or {}).get("horizon_months")
    try:
        return msgspec.convert(
            columns if horizon is None else {**columns, "horizon_months": horizon}, type=PredictBody
        )
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at ")
        raise _wrong(place.strip("`") or "$.inputs", message) from None


def _wrong(place: str, detail: str) -> Problem:
    return Problem(
        name="invalid-request",
        detail="The body does not have the right form; see errors.",
        errors=[{"at": place, "detail": detail}],
    )
