"""Customers by another name: the handle that they have on a platform, or their e-mail."""

from __future__ import annotations

from typing import Annotated

import orjson
import polars as pl
from fastapi import APIRouter, Request
from msgspec import Meta, Struct
from starlette.responses import Response

from api.bodies import MOST_ROWS, decode_body, schema_of
from api.dependencies import ServedDep, refusals
from api.pool import WorkPool
from api.problems import Problem
from api.replies import NO_STORE, Reply
from api.responses import Found
from api.served import Served
from histories.identity import IDENTITY_KEY, identity_digests, international_handle, key_check

router = APIRouter(prefix="/v1", tags=["customers"])


class Handle(Struct, forbid_unknown_fields=True, frozen=True):
    """A name on a platform."""

    platform: Annotated[str, Meta(min_length=1, max_length=100, examples=["forum"])]
    handle: Annotated[str, Meta(min_length=1, max_length=400, examples=["@ada"])]


class LookupBody(Struct, forbid_unknown_fields=True, frozen=True):
    """Handles; of the platform `email` the address, or its SHA-256 in lower case."""

    handles: Annotated[
        list[Handle],
        Meta(min_length=1, max_length=MOST_ROWS, examples=[[{"platform": "forum", "handle": "@ada"}]]),
    ]


@router.post(
    "/customers/lookup",
    response_model=Found,
    openapi_extra={"requestBody": schema_of(LookupBody)},
    responses=refusals(
        "bad-request", "busy", "no-identities", "slow-request", "too-large", "unsupported-media-type"
    ),
)
async def find_customers(request: Request, served: ServedDep) -> Response:
    """Who is behind up to 10,000 handles, as the run's identities say.

    Handles stand in the body, so that none is left in an address; the bundle holds keyed digests of them.
    """
    body = await decode_body(request, LookupBody)
    key = _checked(served, request.app.state.handle_key)
    asked = pl.DataFrame(
        {"platform": [h.platform for h in body.handles], "handle": [h.handle for h in body.handles]}
    )
    country = served.bundle.manifest.get("configuration", {}).get("identity", {}).get("country")
    if country is not None:
        asked = asked.with_columns(international_handle(country).alias("handle"))
    digests = identity_digests(asked, key).to_list()
    pool: WorkPool = request.app.state.predictions
    found = await pool.run(lambda: _customers(served, digests))
    answer = {
        "model_version": served.context["model_version"],
        "customer_ids": [found.get(digest) for digest in digests],
    }
    return Reply(orjson.dumps(answer), headers=[NO_STORE])


def _checked(served: Served, key: bytes | None) -> bytes:
    """The key of the bundle's digests; refused where nobody can tell who is behind a handle."""
    if served.bundle.manifest["pseudonyms"]:
        raise Problem(
            name="no-identities", detail="The bundle holds pseudonyms; no id can be told from them."
        )
    if not served.bundle.manifest["tables"].get("identities"):
        told = served.bundle.manifest["left_out"].get("identities")
        detail = f"The bundle holds no handles: {told}" if told else "The run had no identities."
        raise Problem(
            name="no-identities", detail=f"{detail.rstrip('.')}. Give [inputs.identities] and a key."
        )
    if key is None or key_check(key) != served.bundle.manifest.get("identities_check"):
        state = "has no key of handles" if key is None else "has another key of handles than the run had"
        detail = f"The service {state}. Start it with the run's {IDENTITY_KEY}, or --identity-key FILE."
        raise Problem(name="no-identities", detail=detail)
    return key


def _customers(served: Served, digests: list[str]) -> dict[str, str]:
    """Ids by digest, of customers who may be shown."""
    asked = pl.Series(digests).implode()
    rows = served.bundle.scan("identities").filter(pl.col("digest").is_in(asked)).collect()
    known = zip(rows["digest"], rows["customer_id"].cast(pl.String), strict=True)
    return {digest: name for digest, name in known if not served.is_erased(name)}
