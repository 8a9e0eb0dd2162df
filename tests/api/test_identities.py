"""Customers found by a handle or an e-mail, and not found any more once they are erased."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import polars as pl
import pytest

from api.settings import Settings
from experiments.bundle.reading import load_bundle
from experiments.champion import promote_bundle
from histories.identity import identities_table, international_handle, key_check
from tests.running import eventually, running
from tests.sample_bundle import write_sample
from tributary.client import Client

ROWS = [
    ("forum", "@Ada", 7),
    ("twitter", "ada", 8),
    ("email", "Ada@Example.com", 7),
    ("phone", "07911 123456", 8),
    ("forum", "shared", 7),
    ("forum", "Shared", 9),
]


KEY = "a secret of the company"


def _runs(folder: Path) -> Path:
    rows = pl.LazyFrame(ROWS, schema=["platform", "handle", "customer_id"], orient="row")
    rows = rows.with_columns(international_handle("GB").alias("handle"))
    table = identities_table(rows, KEY.encode(), dt.date(2026, 6, 30))
    told = {"identities_check": key_check(KEY.encode()), "configuration": {"identity": {"country": "GB"}}}
    bundle = write_sample(folder / "v1", version="v1", tables={"identities": table}, **told)
    promote_bundle(folder, bundle, "test")
    return folder


@pytest.mark.parametrize(("key", "told"), [(None, "has no key"), ("another secret of ours", "another key")])
def test_without_the_key_of_the_run_nobody_is_found_and_the_answer_says_how(
    tmp_path: Path, key: str | None, told: str
) -> None:
    body = {"handles": [{"platform": "forum", "handle": "ada"}]}
    file = tmp_path / "secret"
    if key is not None:
        file.write_text(f"{key}\n")
    settings = Settings(runs=_runs(tmp_path), access_log=False, identity_key_file=file if key else None)
    with running(settings) as service:
        answer = service.post("/v1/customers/lookup", json=body)
        assert answer.status_code == 409
        assert told in answer.json()["detail"]
        assert "TRIBUTARY_IDENTITY_KEY" in answer.json()["detail"]


def test_a_customer_is_found_by_a_handle_or_a_hashed_address_and_never_by_one_that_two_have(
    tmp_path: Path,
) -> None:
    (tmp_path / "secret").write_text(f"{KEY}\n")
    hashed = hashlib.sha256(b"ada@example.com").hexdigest()
    asked = [
        ("FORUM", "ada"),
        ("twitter", "@ADA"),
        ("email", hashed),
        ("email", " ada@example.com "),
        ("phone", "0044 (0) 7911 123-456"),
        ("sms", "07911123456"),
        ("whatsapp", "447911123456"),
        ("forum", "shared"),
        ("forum", "nobody"),
    ]
    settings = Settings(runs=_runs(tmp_path), access_log=False, identity_key_file=tmp_path / "secret")
    with running(settings) as service:
        with Client(str(service.base_url)) as client:
            assert client.lookup(asked) == ["7", "8", "7", "7", "8", "8", "8", None, None]
            client.forget(7)
            assert client.lookup(asked) == [None, "8", None, None, "8", "8", "8", None, None]
        bundle = tmp_path / "v1"
        assert eventually(
            lambda: load_bundle(bundle).table("identities")["customer_id"].unique().to_list() == [8]
        )


def test_a_bundle_without_identities_says_so(tmp_path: Path) -> None:
    body = {"handles": [{"platform": "forum", "handle": "ada"}]}
    with running(bundle=write_sample(tmp_path / "v1")) as service:
        answer = service.post("/v1/customers/lookup", json=body)
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:tributary:problems#no-identities")
        assert service.post("/v1/customers/lookup", json={"handles": []}).status_code == 422
