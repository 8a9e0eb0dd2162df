"""The command line: what it prints, how it refuses, and with which exit status."""

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import polars as pl
import pytest

from care.ledger import FORECASTS_SCHEMA, Came, keep_ledger
from care.statement import returns_table
from experiments.following import Followed
from tests.sample_bundle import write_sample
from tributary.cli import COMMANDS, cli, main
from tributary.commands.output import echo_table

ORDERS = "customer_id,timestamp,amount\n1,2026-01-01,10\n1,2026-02-01,20\n2,2026-01-05,5\n"


class Outcome:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def tributary(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        captured = capsys.readouterr()
        return Outcome(int(stop.value.code or 0), captured.out, captured.err)

    return call


def write(name: str, text: str) -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def test_every_command_can_be_asked_for_help(tributary: Any) -> None:
    for command in COMMANDS:
        outcome = tributary(command, "--help")
        assert outcome.status == 0, command
        assert outcome.out.startswith("Usage: tributary")


def test_the_list_of_commands_is_in_the_order_of_a_first_day(tributary: Any) -> None:
    out = tributary("--help").out
    places = [out.index(f"\n  {command} ") for command in COMMANDS]
    assert places == sorted(places)


def test_check_counts_rows_by_rule(tributary: Any) -> None:
    write("orders.csv", ORDERS)
    write("acme.toml", '[inputs]\ntransactions = "orders.csv"\n')
    outcome = tributary("check", "acme.toml", "--json")
    assert outcome.status == 0
    rows = {(row["outcome"], row["rule"]): row["rows"] for row in outcome.json["tables"]}
    assert rows["read", None] == rows["valid", None] == 3


def test_an_unknown_key_is_wrong_use_and_names_the_nearest(tributary: Any) -> None:
    write("acme.toml", '[inputs]\ntransactions = "orders.csv"\n[value]\nhorizon_month = 3\n')
    outcome = tributary("run", "acme.toml")
    assert outcome.status == 2
    assert 'did you mean "horizon_months"?' in outcome.err
    assert "Traceback" not in outcome.err


def test_a_refused_table_is_status_3(tributary: Any) -> None:
    write("orders.csv", "customer_id,timestamp,amount\n")
    write("acme.toml", '[inputs]\ntransactions = "orders.csv"\n')
    outcome = tributary("check", "acme.toml")
    assert outcome.status == 3
    assert "orders.csv" in outcome.err


def test_a_bug_is_one_line_unless_debugging(tributary: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("experiments.inputs.read_inputs", broken)
    write("acme.toml", "")
    outcome = tributary("check", "acme.toml")
    assert outcome.status == 1
    assert outcome.err.count("\n") == 1
    assert "--debug" in outcome.err
    with pytest.raises(ZeroDivisionError):
        main(["--debug", "check", "acme.toml"])


@pytest.mark.parametrize("arguments", [["run"], ["nonsense"], ["runs", "--nonsense"], ["run", "a", "b"]])
def test_wrong_use_is_status_2(tributary: Any, arguments: list[str]) -> None:
    outcome = tributary(*arguments)
    assert outcome.status == 2
    assert "Usage:" in outcome.err


def test_compare_needs_two_runs(tributary: Any) -> None:
    outcome = tributary("compare", "abc")
    assert outcome.status == 2
    assert "at least two runs" in outcome.err


def test_without_any_run_the_list_says_how_to_make_one(tributary: Any) -> None:
    outcome = tributary("runs")
    assert outcome.status == 2
    assert "tributary run CONFIG" in outcome.err


def test_memory_that_cannot_be_read_is_refused(tributary: Any) -> None:
    write("acme.toml", "")
    outcome = tributary("run", "acme.toml", "--memory", "much")
    assert outcome.status == 2
    assert 'memory is "much"; allowed: a number with KB, MB, GB or TB' in outcome.err


@pytest.mark.parametrize(
    "words",
    [
        ["run", "acme.toml", "--out", "a-file/bundle"],
        ["run", "acme.toml", "--runs", "a-file/runs"],
        ["run", "acme.toml", "--memory", "1GB", "--runs", "a-file/runs"],
        ["run", "acme.toml", "--follow", "--runs", "a-file/runs"],
        ["run", "acme.toml", "--mlruns", "a-file/mlruns"],
        ["score", "bundle", "acme.toml", "--out", "/proc/scores.csv"],
        ["update", "bundle", "acme.toml", "--out", "a-file/bundle"],
        ["report", "bundle", "--deliver", "a-file/reports"],
        ["export", "bundle", "--out", "/proc/customers.csv"],
        ["simulate", "--out", "a-file/company"],
        ["demo", "--out", "a-file/demo"],
    ],
    ids=" ".join,
)
def test_a_place_that_cannot_be_written_is_told_at_once(tributary: Any, words: list[str]) -> None:
    if "/proc" in words[-1] and not Path("/proc").is_dir():
        pytest.skip("this system has no /proc")
    Path("a-file").touch()
    write("orders.csv", ORDERS)
    write("acme.toml", '[inputs]\ntransactions = "orders.csv"\n')
    if "bundle" in words:
        write_sample(Path("bundle"), n=2)
    before = sorted(Path().iterdir())
    outcome = tributary(*words)
    assert (outcome.status, outcome.err.count("\n")) == (5, outcome.err.count("[") + 1), outcome.err
    assert "takes nothing new" in outcome.err or "could not be written" in outcome.err
    assert sorted(Path().iterdir()) == before or "--mlruns" in words


def test_a_full_disk_is_told_wherever_it_is_met(tributary: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise pl.exceptions.ComputeError("No space left on device (os error 28)")

    monkeypatch.setattr("polars.DataFrame.write_parquet", refuse)
    outcome = tributary("simulate", "--customers", "10", "--out", "company")
    assert (outcome.status, outcome.err.count("\n")) == (5, 1)
    assert "No space left on device" in outcome.err


def test_commands_load_only_when_they_are_called() -> None:
    """`tributary --help` must not wait for models: the group itself imports none of them."""
    import subprocess
    import sys

    heavy = ("mlflow", "fastapi", "scipy", "sklearn", "numba", "jinja2")
    code = f"import sys, tributary.cli; print([m for m in {heavy} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
    assert cli.name is not None


@pytest.mark.parametrize("command", ["check", "run", "score", "update"])
def test_a_mistake_in_the_configuration_is_told_before_anything_heavy_is_loaded(
    command: str, tmp_path: Path
) -> None:
    (tmp_path / "acme.toml").write_text('nme = "acme"\n', encoding="utf-8")
    heavy = ("mlflow", "fastapi", "scipy", "sklearn", "numba", "jinja2", "numpy", "pandas", "reports.build")
    bundle = [str(tmp_path)] if command in ("score", "update") else []
    words = [command, *bundle, str(tmp_path / "acme.toml")]
    code = (
        "import atexit, sys; from tributary.cli import main;"
        f"atexit.register(lambda: print([m for m in {heavy} if m in sys.modules])); main({words})"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert 'unknown key "nme"; did you mean "name"?' in told.stderr
    assert told.stdout.strip() == "[]"


def test_following_tells_of_each_bundle_how_many_rows_count_and_how_many_do_not(
    tributary: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("orders.csv", ORDERS)
    write("acme.toml", '[inputs]\ntransactions = "orders.csv"\n')
    counts = {"rows_valid": 987, "rejected_by_rule": {"unreadable timestamp": 2}, "set_aside_by_rule": {}}
    bundle = write_sample(tmp_path / "b", inputs={"transactions": counts})
    looks = [
        Followed(waiting=1),
        Followed(bundle=bundle, is_new=True, number=3, files=2, repeated=1),
        Followed(bundle=bundle, number=3, files=2),
    ]
    monkeypatch.setattr("tributary.commands.follow.follow", lambda *_, **__: looks)
    assert tributary("run", "acme.toml", "--follow").out.splitlines() == [
        "Waiting; 1 file new or being written",
        f"Bundle 3  {bundle}  2 files; 987 rows; 2 rejected; 1 file with the content of another",
        "Nothing new",
    ]


def test_following_refuses_a_fixed_end_and_a_folder_of_its_own(tributary: Any) -> None:
    write("orders.csv", ORDERS)
    write("acme.toml", 'observation_end = 2026-03-01\n[inputs]\ntransactions = "orders.csv"\n')
    outcome = tributary("run", "acme.toml", "--follow")
    assert outcome.status == 2
    assert "observation_end is 2026-03-01" in outcome.err
    outcome = tributary("run", "acme.toml", "--follow", "--out", "here")
    assert outcome.status == 2
    assert "leave --out out" in outcome.err


@pytest.mark.usefixtures("mlruns")
def test_from_run_to_rollback(tributary: Any) -> None:
    """Two runs of counted paths: listed, compared, promoted, rolled back, reported again."""
    write("paths.csv", "path,conversions,value,nulls\nforum > chat,3,30.0,2\nchat,1,5.0,4\n")
    write("acme.toml", '[inputs]\npaths = "paths.csv"\n[attribution]\nmethods = ["last", "linear"]\n')
    first = tributary("run", "acme.toml", "--json").json
    second = tributary("run", "acme.toml", "--json", "--set", 'attribution.methods=["first"]').json
    assert [row["run"] for row in tributary("runs", "--json").json] == [
        second["run_id"][:12],
        first["run_id"][:12],
    ]
    compared = tributary("compare", first["run_id"], second["run_id"], "--json").json
    assert {"attribution.methods"} <= {row["name"] for row in compared}
    for run in (first, second):
        assert tributary("promote", run["run_id"]).status == 0
    assert Path("runs/champion").resolve() == Path(second["bundle"]).resolve()
    assert tributary("rollback").status == 0
    assert Path("runs/champion").resolve() == Path(first["bundle"]).resolve()
    marked = [row["run"] for row in tributary("runs", "--json").json if row["champion"]]
    assert marked == [first["run_id"][:12]]
    drawn = tributary("report", first["bundle"], "--format", "html,json", "--deliver", "again")
    assert drawn.status == 0
    assert Path("again/report.html").read_bytes() == Path(first["bundle"], "report.html").read_bytes()
    assert tributary("report", first["bundle"], "--format", "doc").status == 2


def test_check_prints_what_was_understood(tributary: Any) -> None:
    write("orders.csv", ORDERS)
    write(
        "touches.csv",
        "customer_id,timestamp,channel\n1,2026-01-02,chat\n1,2026-01-03,forum\n9,2026-01-04,chat\n",
    )
    write(
        "cases.csv",
        "case_id,opened_at,channel,first_response_at\na,2026-01-02,chat,2026-01-03\nb,2026-01-09,chat,\n",
    )
    tables = "\n".join(
        f'{t} = "{f}.csv"'
        for t, f in (("transactions", "orders"), ("touchpoints", "touches"), ("cases", "cases"))
    )
    write("acme.toml", f'currency = "EUR"\n[inputs]\n{tables}\n[attribution]\nmethods = ["last"]\n')
    understood = tributary("check", "acme.toml", "--json").json["understood"]
    assert understood == {
        "customers": 2,
        "transactions": 3,
        "first_day": "2026-01-01",
        "last_day": "2026-02-01",
        "revenue": 35.0,
        "currency": "EUR",
        "touches": 3,
        "touches_of_buyers": pytest.approx(2 / 3),
        "channels": {"chat": 2, "forum": 1},
        "cases": 2,
        "cases_with_reply": 0.5,
        "effects": {},
    }
    lines = " ".join(tributary("check", "acme.toml").out.split())
    assert "revenue 35.00 EUR" in lines
    assert "first and last day 2026-01-01 to 2026-02-01" in lines
    assert "touches whose customer bought 66.7%" in lines
    assert "channels 2: chat (2), forum (1)" in lines
    assert "cases with a reply 50.0%" in lines


def test_check_counts_the_units_of_an_effects_own_table(tributary: Any) -> None:
    write("mailing.csv", "unit,arm,spend\n1,letter,3\n2,none,1\n3,letter,0\n")
    write(
        "acme.toml",
        '[[effects]]\nname = "mailing"\ndesign = "randomised"\ntable = { path = "mailing.csv" }\n'
        'treatment = { column = "arm", control = "none" }\noutcomes = ["spend"]\n',
    )
    assert "units of mailing  3: letter (2), none (1)" in tributary("check", "acme.toml").out


def test_check_says_what_a_run_will_leave_out(tributary: Any) -> None:
    write("orders.csv", ORDERS)
    write("touches.csv", "customer_id,timestamp,channel\n1,2026-01-02,chat\n")
    write("acme.toml", '[inputs]\ntransactions = "orders.csv"\ntouchpoints = "touches.csv"\n')
    assert "A run will leave out incremental credit" in tributary("check", "acme.toml").out


@pytest.mark.usefixtures("mlruns")
def test_a_run_without_customer_values_is_not_promoted(tributary: Any) -> None:
    write("orders.csv", "customer_id,timestamp,amount\n1,2026-01-01,10\n2,2026-01-05,5\n")
    write("acme.toml", '[inputs]\ntransactions = "orders.csv"\n')
    outcome = tributary("run", "acme.toml", "--promote")
    assert outcome.status == 4
    assert "not promoted" in outcome.err
    assert not Path("runs/champion").exists()


def test_the_list_of_commands_imports_none_of_them_and_each_is_there() -> None:
    code = (
        "import sys; from tributary.cli import cli;"
        "print(cli.get_help(cli.make_context('tributary', ['x'])));"
        "assert not any(name.startswith(('tributary.commands', 'polars', 'mlflow')) for name in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    context = click.Context(cli)
    for name, (_, words) in COMMANDS.items():
        command = cli.get_command(context, name)
        assert command is not None
        assert command.help
        assert words[:40] in found


def test_who_waits_is_listed_in_the_order_in_which_to_answer(tributary: Any, tmp_path: Path) -> None:
    write_sample(tmp_path / "v1", name="shop")
    rows = tributary("care", "v1", "--cases", "--limit", "2", "--json").json
    assert [(row["case_id"], row["priority_rank"]) for row in rows] == [("b", 1), ("c", 2)]
    shown = tributary("care", "v1", "--cases", "--limit", "2").out.splitlines()
    assert shown[0].split() == ["next", "case", "channel", "waits", "at", "stake", "why"]
    assert "50.00 GBP  asks again" in shown[1]
    assert shown[3] == "1 more wait; --limit shows them."


def test_what_was_promised_is_told_with_what_came(tributary: Any, tmp_path: Path) -> None:
    row = {"made_on": dt.date(2025, 6, 30), "due": dt.date(2025, 12, 31), "kind": "effect", "better": "more",
           "what": "fast: spend", "value": 5.0, "low": 3.0, "high": 7.0}  # fmt: skip
    rows = pl.DataFrame([dict.fromkeys(FORECASTS_SCHEMA) | row], schema=FORECASTS_SCHEMA)
    write_sample(tmp_path / "v1", tables={"forecasts": rows})
    assert tributary("forecasts", "v1").out.endswith(
        "Nothing has fallen due; the first does on 2025-12-31.\n"
    )
    assert tributary("forecasts", "v1", "--due").out == "No promise has fallen due.\n"
    scored = keep_ledger(rows, rows.clear(), as_of=dt.date(2026, 1, 1), came=lambda _: Came(value=2.0))
    write_sample(tmp_path / "v2", tables={"forecasts": scored})
    lines = tributary("forecasts", "v2").out.splitlines()
    assert lines[-2].split() == ["effect", "1", "1", "0", "0.6", "1"]
    assert tributary("forecasts", "v2", "--json").json["scores"][0]["over_promised"] == 1.0


def test_what_care_returned_is_told_by_line_and_month_and_heads_the_service_figures(
    tributary: Any, tmp_path: Path
) -> None:
    lines = [
        {
            "line": "incremental margin",
            "unit": "currency",
            "value": 67_616.0,
            "low": 56_000.0,
            "high": 79_000.0,
        },
        {"line": "incremental margin", "unit": "currency", "value": 9.0, "period": "2025-11"},
        {"line": "net", "unit": "currency", "reason": "no cost is known", "supported": False},
        {"line": "roi", "unit": "share", "value": 0.1341, "low": -0.0522, "high": 0.3203},
        {"line": "npv", "unit": "currency", "reason": "no cost is known", "supported": False},
    ]
    write_sample(tmp_path / "v1", tables={"returns": returns_table(lines)})
    shown = tributary("returns", "v1").out.splitlines()
    assert shown[0].split() == ["line", "value", "interval", "note"]
    assert "67,616.00 GBP  56,000.00 GBP to 79,000.00 GBP" in shown[1]
    assert shown[2].split()[1:] == ["–", "–", "no", "cost", "is", "known"]
    assert shown[4].endswith("as above")
    assert "2025-11" in tributary("returns", "v1", "--by", "month").out
    assert (
        tributary("returns", "v1", "--by", "segment").out == "The account of care is not told by segment.\n"
    )
    assert [row["line"] for row in tributary("returns", "v1", "--json").json][-1] == "npv"
    assert "13.4%" in next(
        row for row in tributary("care", "v1").out.splitlines() if row.startswith("return")
    )
    write_sample(tmp_path / "v2", left_out={"returns": "no cost of a channel with cases is known"})
    refused = tributary("returns", "v2")
    assert (refused.status, "no cost of a channel with cases is known" in refused.err) == (2, True)


@pytest.mark.usefixtures("mlruns")
def test_reports_of_brands_need_brands_and_places_of_their_own(tributary: Any, tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text("case_id,opened_at,channel\na,2026-03-02T10:00:00Z,mail\n")
    (tmp_path / "desk.toml").write_text("observation_end = 2026-03-31\n[inputs]\ncases = 'cases.csv'\n")
    none = tributary("run", "desk.toml", "--each-brand")
    assert (none.status, "no case and no post names a brand" in none.err) == (2, True)
    unknown = tributary("run", "desk.toml", "--brand", "Acme")
    assert (unknown.status, 'brand = "Acme": no case or post is of it' in unknown.err) == (2, True)
    taken = tributary("run", "desk.toml", "--brand", "Acme", "--out", "here")
    assert (taken.status, "leave --out" in taken.err) == (2, True)


def test_alerts_are_printed_and_watched_once(tributary: Any, tmp_path: Path) -> None:
    write_sample(tmp_path / "runs" / "v1", name="shop")
    assert "31 requests on chat" in tributary("care", "runs/v1", "--alerts").out
    assert "1 thing left the limits: shop" in tributary("watch").out
    assert tributary("watch", "--deliver", "out").out == "Told of 1 signal.\n"
    assert tributary("watch", "--deliver", "out").out == "Nothing new left its limits.\n"
    assert len(list((tmp_path / "out").iterdir())) == 1
    outcome = tributary("watch", "--name", "shp")
    assert (outcome.status, 'did you mean "shop"' in outcome.err) == (2, True)


def test_a_table_prints_no_letter_that_moves_the_cursor_and_no_rounding(
    capsys: pytest.CaptureFixture[str],
) -> None:
    echo_table(pl.DataFrame({"channel": ["a\x1b[2Jb", "x" * 999], "credit": [2e-14, 12.5]}))
    told = capsys.readouterr().out
    assert "\x1b[2J" not in told
    assert "a\N{REPLACEMENT CHARACTER}[2Jb" in told
    assert "e-14" not in told
    assert max(map(len, told.splitlines())) < 220


def test_a_simulated_company_replaces_no_files_but_its_own(tributary: Any, tmp_path: Path) -> None:
    make = ("simulate", "--customers", "10", "--months", "6", "--out", "made")
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "customers.parquet").write_text("mine")
    refused = tributary(*make)
    assert refused.status == 2
    assert "made holds other files" in refused.err
    assert (tmp_path / "made" / "customers.parquet").read_text() == "mine"
    (tmp_path / "made" / "customers.parquet").unlink()
    assert tributary(*make).status == 0
    assert tributary(*make).status == 0
