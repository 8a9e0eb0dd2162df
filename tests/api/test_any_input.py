"""No input makes the service fail: schemathesis asks what the description allows, and what it forbids."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.keys import SCOPES, create_key
from api.settings import Settings
from tests.running import running
from tests.sample_bundle import sample_customers, write_sample

# A schema cannot say that lists are of one length, that a product is bounded, what a filter's grammar is,
# which columns there are, and that bytes are a stream of Arrow; what does not fit is refused. What no schema
# allows may also be too long for an address.
CONFIG = """
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "414", "415", "422", "429", "431"]
""" + "".join(
    f"""
[[operations]]
include-name = "{name}"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "403", "404", "409", "410", "422", "429"]
"""
    for name in (
        "POST /v1/values/predict",
        "POST /v1/care/whatif",
        "GET /v1/care/lottery",
        "POST /v1/staffing",
        "GET /v1/customers",
        "GET /v1/customers/count",
        "GET /v1/customers/export",
        "GET /v1/customers/grid",
        "GET /v1/customers/changes",
        "POST /v2/models/{name}/infer",
        "POST /v1/customers/lookup",
        "POST /v1/purchases",
        "POST /v1/touchpoints",
    )
)


def _ask_everything(
    client: httpx.Client, folder: Path, *, examples: int, phases: str, key: str | None = None
) -> None:
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [
        Path(sys.executable).with_name("st"),
        "--config-file",
        config,
        "run",
        f"{client.base_url}/openapi.json",
    ]
    command += ["--checks", "all", "--phases", phases, "-n", examples, "--seed", 1, "--no-color"]
    command += ["-H", f"Authorization: Bearer {key}"] if key else []
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, capture_output=True, text=True, timeout=1200, check=False
    )
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-2000:]


def test_nothing_that_is_asked_makes_the_service_fail(tmp_path: Path) -> None:
    with running(bundle=write_sample(tmp_path / "v1", n=200)) as client:
        _ask_everything(client, tmp_path, examples=2, phases="examples,fuzzing")


@pytest.mark.slow
@pytest.mark.parametrize("with_keys", [False, True], ids=["without keys", "with keys"])
def test_nothing_at_all_that_is_asked_makes_the_service_fail(tmp_path: Path, with_keys: bool) -> None:
    keys = tmp_path / "keys.json"
    key = create_key(keys, scopes=SCOPES)[0] if with_keys else None
    settings = Settings(keys=keys if with_keys else None, access_log=False)
    with running(settings, bundle=write_sample(tmp_path / "v1", n=2000)) as client:
        _ask_everything(client, tmp_path, examples=100, phases="examples,coverage,fuzzing,stateful", key=key)


KNOWN = {str(row["customer_id"]): row["total_value"] for row in sample_customers().to_dicts()}


@given(
    ids=st.lists(
        st.one_of(st.sampled_from(sorted(KNOWN)), st.text(min_size=1, max_size=20)), min_size=1, max_size=40
    )
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
def test_a_batch_of_any_ids_is_answered_by_position(service: httpx.Client, ids: list[str]) -> None:
    ids = [text.encode("utf-8", "replace").decode() for text in ids]
    answer = service.post("/v1/customers/values", json={"ids": ids, "fields": ["total_value"]}).json()
    assert answer["unknown"] == [i for i, text in enumerate(ids) if text not in KNOWN]
    known = [text for text in ids if text in KNOWN]
    assert answer["columns"] == {"customer_id": known, "total_value": [KNOWN[text] for text in known]}
