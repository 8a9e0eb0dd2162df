"""Keys are shown once, stored hashed, rotated and revoked; limits refill evenly."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api.keys import KeyRing, create_key, hash_key, load_keys, revoke_key, rotate_key
from api.limits import RateLimiter, SharedRateLimiter
from api.settings import Settings
from histories.errors import ConfigError
from tests.running import running
from tributary.cli import cli


def test_a_key_is_found_by_its_hash_and_stored_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, entry = create_key(path, scopes=["batch", "read"], name="crm", rate_limit=60)
    assert key not in path.read_text()
    assert hash_key(key) in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    assert load_keys(path)[entry.key_id] == entry
    assert entry.scopes == ("read", "batch")
    assert KeyRing(path).find(key) == entry
    assert KeyRing(path).find(key + "x") is None
    assert "sha256" not in entry.to_dict()


def test_rotation_leaves_both_keys_for_the_overlap_and_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    old, entry = create_key(path, scopes=["read"], name="crm", rate_limit=7)
    new, fresh = rotate_key(path, entry.key_id, overlap=dt.timedelta(hours=1))
    assert (fresh.name, fresh.scopes, fresh.rate_limit) == ("crm", ("read",), 7)
    ring = KeyRing(path)
    assert ring.find(old) is not None
    assert ring.find(new) == fresh
    last, _ = rotate_key(path, fresh.key_id)
    assert ring.refresh()
    assert ring.find(new) is None
    assert ring.find(last) is not None
    with pytest.raises(ConfigError, match="no longer works"):
        rotate_key(path, fresh.key_id)


def test_an_expired_or_revoked_key_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    past = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    expired, _ = create_key(path, scopes=["read"], expires_at=past)
    key, entry = create_key(path, scopes=["read"])
    ring = KeyRing(path)
    assert ring.find(expired) is None
    assert ring.find(key) is not None
    first = revoke_key(path, entry.key_id)
    assert revoke_key(path, entry.key_id) == first
    assert ring.find(key) is not None  # not read yet
    ring.refresh()
    assert ring.find(key) is None
    assert ring.refresh() is False


def test_a_new_key_opens_a_running_service_at_once(sample: Path, tmp_path: Path) -> None:
    create_key(tmp_path / "keys.json", scopes=["read"])
    settings = Settings(keys=tmp_path / "keys.json", watch_seconds=600, access_log=False)
    with running(settings, bundle=sample) as client:
        key, _ = create_key(tmp_path / "keys.json", scopes=["read"])
        shown = {"authorization": f"Bearer {key}"}
        assert client.get("/v1/model", headers=shown).status_code == 200


@pytest.mark.parametrize(
    ("scopes", "message"),
    [
        (["raed"], 'no scope "raed"; did you mean "read"'),
        ([], "A key needs a scope; allowed: read, batch, write, erase, admin"),
    ],
)
def test_a_scope_that_does_not_exist_is_refused(tmp_path: Path, scopes: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_key(tmp_path / "keys.json", scopes=scopes)
    assert not (tmp_path / "keys.json").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"keys": [{}]}', '{"keys": [{"scopes": 1}]}', "\0"])
def test_a_file_that_holds_no_keys_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match="not a file of API keys"):
        load_keys(path)


def test_a_bucket_gives_its_limit_at_once_and_refills_evenly() -> None:
    now = [0.0]
    limiter = RateLimiter(clock=lambda: now[0])
    assert [limiter.take("a", 60).allowed for _ in range(61)] == [True] * 60 + [False]
    assert limiter.take("a", 60).retry_after == 1
    assert limiter.take("b", 60).allowed
    now[0] = 1.0
    assert limiter.take("a", 60).allowed
    assert not limiter.take("a", 60).allowed
    now[0] = 1000.0
    assert limiter.take("a", 60).remaining == 59


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in arguments], catch_exceptions=False)


def test_keys_are_managed_from_the_command_line(tmp_path: Path) -> None:
    keys = ["--keys", str(tmp_path / "keys.json")]
    made = json.loads(
        _run("key", "create", *keys, "--scope", "read", "--name", "crm", "--days", "30", "--json").stdout
    )
    assert made["key"].startswith(f"trib_{made['key_id']}_")
    listed = _run("key", "list", *keys, "--json").stdout
    assert made["key"] not in listed
    assert json.loads(listed)[0]["name"] == "crm"
    rotated = json.loads(
        _run("key", "rotate", *keys, made["key_id"], "--overlap-hours", "1", "--json").stdout
    )
    assert rotated["name"] == "crm"
    _run("key", "revoke", *keys, rotated["key_id"])
    assert load_keys(tmp_path / "keys.json")[rotated["key_id"]].revoked_at is not None
    assert "crm" in _run("key", "list", *keys).stdout
    shown = _run("key", "create", *keys, "--scope", "admin")
    assert shown.stdout.startswith("trib_")


def test_a_customer_is_forgotten_from_the_command_line(tmp_path: Path) -> None:
    from experiments.bundle.reading import load_bundle
    from tests.sample_bundle import write_sample

    write_sample(tmp_path / "runs" / "a")
    options = ["--runs", str(tmp_path / "runs"), "--mlruns", str(tmp_path / "mlruns")]
    done = json.loads(_run("forget", "7", *options, "--json").stdout)
    assert done == {
        "rewritten": [{"bundle": "a", "rows": {"customers": 1, "touchpoints": 3}}],
        "out_of_reach": [],
    }
    assert load_bundle(tmp_path / "runs" / "a").table("customers").height == 49
    assert "0 rows in 0 bundles" in _run("forget", "7", *options).stdout


def test_staffing_from_the_command_line(tmp_path: Path) -> None:
    assert json.loads(_run("staffing", "--contacts", "100", "--json").stdout)["agents"] == 14
    table = tmp_path / "day.csv"
    table.write_text("hour,contacts,handling_seconds\n9,100,180\n10,200,240\n")
    rows = json.loads(_run("staffing", "--table", str(table), "--json").stdout)
    assert (rows[0]["hour"], rows[0]["agents"]) == (9, 14)
    assert rows[1]["load_erlangs"] == pytest.approx(200 * 240 / 1800)
    with pytest.raises(ConfigError, match="--contacts for one interval, or --table"):
        _run("staffing")


def test_processes_that_share_a_file_share_each_bucket(tmp_path: Path) -> None:
    now = [0.0]
    first, second = (SharedRateLimiter(tmp_path / "limits", clock=lambda: now[0]) for _ in range(2))
    taken = [(first if i % 2 else second).take("a", 6).allowed for i in range(8)]
    assert taken == [True] * 6 + [False] * 2
    assert second.take("b", 6).remaining == 5  # another key, another bucket
    now[0] = 10.0
    assert first.take("a", 6).allowed
    assert not second.take("a", 6).allowed
    now[0] = -5.0  # a clock that goes back takes nothing away
    assert second.take("b", 6).remaining == 4


def test_more_keys_than_the_file_has_room_for_cost_only_the_oldest_their_count(tmp_path: Path) -> None:
    now = [0.0]
    limiter = SharedRateLimiter(tmp_path / "limits", clock=lambda: now[0])
    for i in range(20_000):
        now[0] += 1e-6
        assert limiter.take(f"key-{i}", 5).remaining == 4
    assert limiter.take("key-19999", 5).remaining == 3


def test_no_request_is_lost_or_counted_twice_between_processes(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from api.limits import SharedRateLimiter\n"
        "limiter = SharedRateLimiter(Path(sys.argv[1]), clock=lambda: 0.0)\n"
        "print(sum(limiter.take('a', 5000).allowed for _ in range(4000)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "limits")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sum(int(process.communicate(timeout=60)[0]) for process in running) == 5000
