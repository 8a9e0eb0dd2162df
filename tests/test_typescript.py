"""The TypeScript client: generated from a running service, compiled, and asked."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.running import running
from tests.sample_bundle import write_sample

SOURCE = Path(__file__).parents[1] / "clients" / "typescript"
TOOLS = SOURCE / "node_modules"

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed"),
    pytest.mark.skipif(not TOOLS.exists(), reason="the generator is not installed: run `make clients`"),
]

ASKS = """
import { connect, everyCustomer, ServiceError } from "./index.js";

declare const process: { argv: string[] };
const client = connect(process.argv[2]!);
const path = "/v1/customers/{customer_id}/value";
const one = await client.GET(path, { params: { path: { customer_id: "7" } } });
const value: number | null = one.data!.customer_lifetime_value;
const nobody = await client.GET(path, { params: { path: { customer_id: "nobody" } } });
const ids: string[] = [];
for await (const customer of everyCustomer(client, { limit: 7, min_churn_probability: 0.5 })) {
  ids.push(customer.customer_id);
}
const told = await everyCustomer(client, { filter: "eq(" }).next().catch((error) => error as ServiceError);
const refusal = told instanceof ServiceError ? told.problem?.type : null;
console.log(JSON.stringify({ value, kind: nobody.error!.type, ids, refusal }));
"""


def _run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def _generated(client: httpx.Client, folder: Path) -> None:
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("node_modules", "dist", "schema.ts"))
    (folder / "node_modules").symlink_to(TOOLS)
    (folder / "openapi.json").write_text(client.get("/openapi.json").text)
    made = _run(folder, "npm", "run", "--silent", "generate")
    assert made.returncode == 0, made.stderr


def test_a_typescript_client_is_generated_compiled_and_answered(tmp_path: Path) -> None:
    with running(bundle=write_sample(tmp_path / "v1")) as client:
        folder = tmp_path / "client"
        _generated(client, folder)
        (folder / "src" / "asks.ts").write_text(ASKS)
        built = _run(folder, "npm", "run", "--silent", "build")
        assert built.returncode == 0, built.stdout
        asked = _run(folder, "node", "dist/asks.js", str(client.base_url).rstrip("/"))
        assert asked.returncode == 0, asked.stderr
        found = json.loads(asked.stdout)
        page = client.get("/v1/customers?limit=1000&min_churn_probability=0.5").json()["customers"]
        assert found["value"] == client.get("/v1/customers/7/value").json()["customer_lifetime_value"]
        assert found["ids"] == [row["customer_id"] for row in page]
        assert found["kind"].endswith("#unknown-customer")
        assert found["refusal"].endswith("#invalid-request")
        wrong = ASKS.replace("customer_lifetime_value", "lifetime_worth").replace("limit: 7", 'limit: "7"')
        (folder / "src" / "asks.ts").write_text(wrong)
        refused = _run(folder, "npm", "run", "--silent", "build")
        assert refused.returncode != 0
        assert refused.stdout.count("error TS") == 2
