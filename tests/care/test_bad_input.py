"""What goes wrong in a desk's export: each with its place, count and next step; nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.checks import check_run, foreseen
from experiments.config import load_config
from experiments.inputs import read_inputs
from experiments.parts.care import CarePart, care_part
from experiments.parts.histories import build_histories
from histories.errors import ConfigError, DataError
from histories.reading.inputs import Inputs

CASES = "case_id,opened_at,channel,customer_id,first_response_at,resolved_at"
POSTS = "post_id,platform,author,timestamp,in_reply_to,text,is_brand"


def _read(folder: Path, care: str = "", limits: str = "1", **tables: str) -> tuple[CarePart, Inputs]:
    lines = [f"observation_end = 2026-03-31\n[limits]\nmax_rejected_share = {limits}\n{care}\n[inputs]"]
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
        lines.append(f'{name} = "{name}.csv"')
    path = folder / "care.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    config = load_config(path)
    inputs = read_inputs(config)
    check_run(config, inputs)
    return care_part(config, build_histories(config, inputs)), inputs


@pytest.mark.parametrize("flag", ["true", "false"])
def test_posts_of_one_side_stop_the_run(tmp_path: Path, flag: str) -> None:
    with pytest.raises(DataError, match=r"all 1 posts are .*Is inbound turned round"):
        _read(tmp_path, posts=f"{POSTS}\na,x,u1,2026-03-01T10:00:00Z,,Where?,{flag}\n")


def test_resolved_before_the_first_reply_has_no_time_of_resolution(tmp_path: Path) -> None:
    part, inputs = _read(
        tmp_path,
        cases=f"{CASES}\nk,2026-03-01T10:00:00Z,mail,1,2026-03-01T12:00:00Z,2026-03-01T11:00:00Z\n",
    )
    (note,) = inputs.notes
    assert '1 cases were resolved before their first reply (row 1; first: "2026-03-01T11:00:00Z")' in note
    row = part.cases.collect().row(0, named=True)
    assert (row["first_response_minutes"], row["resolution_minutes"]) == (120, None)


def test_resolved_before_it_was_opened_is_rejected(tmp_path: Path) -> None:
    _, inputs = _read(
        tmp_path,
        cases=f"{CASES}\nk,2026-03-01T10:00:00Z,mail,1,,2026-03-01T09:00:00Z\n"
        "m,2026-03-01T10:00:00Z,mail,1,,\n",
    )
    assert inputs.tables["cases"].rejected_by_rule == {"resolved_at before opened_at": 1}


def test_satisfaction_above_its_scale_is_asked_about(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"csat outside 1-5 .*Is this 0-100"):
        _read(
            tmp_path,
            limits="0.1",
            cases=f"{CASES},csat\nk,2026-03-01T10:00:00Z,mail,1,,,80\nm,2026-03-01T10:00:00Z,mail,1,,,4\n",
        )


def test_a_post_that_was_delivered_twice_is_set_aside(tmp_path: Path) -> None:
    line = "a,x,u1,2026-03-01T10:00:00Z,,Where?,false\n"
    part, inputs = _read(
        tmp_path, posts=f"{POSTS}\n{line}{line}b,x,acme,2026-03-01T11:00:00Z,a,Here,true\n", limits="0.0"
    )
    assert inputs.tables["posts"].set_aside_by_rule["repeated post_id"] == 1
    assert part.cases.collect().height == 1


def _two_files(folder: Path, first: str, second: str) -> tuple[CarePart, Inputs]:
    (folder / "open.csv").write_text(f"{CASES}\n{first}")
    (folder / "solved.csv").write_text(f"{CASES}\n{second}")
    path = folder / "care.toml"
    path.write_text(
        "observation_end = 2026-03-31\n"
        '[[inputs.cases]]\npath = "open.csv"\n[[inputs.cases]]\npath = "solved.csv"\n'
    )
    config = load_config(path)
    inputs = read_inputs(config)
    return care_part(config, build_histories(config, inputs)), inputs


def test_the_later_file_of_cases_is_the_newer(tmp_path: Path) -> None:
    opened = "k,2026-03-01T10:00:00Z,mail,1,"
    part, inputs = _two_files(tmp_path, f"{opened},\n", f"{opened}2026-03-01T11:00:00Z,\n")
    assert inputs.tables["cases"].set_aside_by_rule == {"repeated case_id": 1}
    assert part.cases.collect()["first_response_minutes"].to_list() == [60]
    assert not any("different times" in note for note in inputs.notes)


def test_two_files_that_tell_different_times_of_a_case_are_counted_and_the_later_wins(tmp_path: Path) -> None:
    opened = "k,2026-03-01T10:00:00Z,mail,1,"
    part, inputs = _two_files(
        tmp_path, f"{opened}2026-03-01T10:20:00Z,\n", f"{opened}2026-03-01T11:00:00Z,\n"
    )
    assert part.cases.collect()["first_response_minutes"].to_list() == [60]
    (note,) = (note for note in inputs.notes if "different times" in note)
    assert (
        '1 cases have different times in two files (solved.csv row 1; first: first_response_at, kept: "'
        in note
    )


def test_shifts_that_overlap_are_set_aside_and_an_agent_in_two_teams_is_named(tmp_path: Path) -> None:
    part, inputs = _read(
        tmp_path,
        cases="case_id,opened_at,channel,agent,team,resolved_at\n"
        "k,2026-03-01T10:00:00Z,mail,Ann,red,2026-03-01T11:00:00Z\n"
        "m,2026-03-01T12:00:00Z,mail,Ann,blue,2026-03-01T13:00:00Z\n",
        hours="agent,team,start,end,paid\nAnn,red,2026-03-01T09:00:00Z,2026-03-01T17:00:00Z,yes\n"
        "Ann,red,2026-03-01T12:00:00Z,2026-03-01T12:30:00Z,no\n"
        "Ann,blue,2026-03-01T16:00:00Z,2026-03-01T18:00:00Z,yes\n",
    )
    hours = inputs.tables["hours"]
    assert (hours.rows_read, hours.rows_valid, hours.set_aside_by_rule) == (3, 2, {"overlapping shift": 1})
    assert any("1 of 3 rows begin, 1 of them in another team, before" in note for note in inputs.notes)
    assert any("1 agents stand in two teams on one day (1 days; row 1)" in note for note in inputs.notes)
    care = part.tables["care"].filter(
        kpi="resolutions_per_hour", segment="(all)", team="(all)", channel="(all)"
    )
    assert care["value"].to_list() == [2 / 8]
    assert not any("Ann" in str(row) for row in part.cases.collect().rows())


SIDES = "p,x,u1,2026-03-01T10:00:00Z,,Where?,false\nr,x,acme,2026-03-01T11:00:00Z,p,Here,true\n"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("a,x,u2,2026-03-02T10:00:00Z,a,Where?,false", "posts answer themselves (row 3)"),
        (
            "a,x,u2,2026-03-02T10:00:00Z,gone,Where?,false",
            '1 of 2 replies answer a post that is not in the file (row 3; first: "gone"). Each starts a '
            "conversation of its own. The export was cut: ask for whole threads.",
        ),
        (
            "a,x,acme,2026-03-01T09:00:00Z,p,Here,true",
            '1 of 3 posts are dated before the post they answer (row 3; first: "2026-03-01T09:00:00Z")',
        ),
        (
            "a,x,u2,2026-03-02T10:00:00Z,b,Where?,false\nb,x,acme,2026-03-02T11:00:00Z,a,Here,true",
            "1 circles of replies (row 3). Each is cut",
        ),
    ],
)
def test_odd_links_of_posts_are_named_with_their_rows(tmp_path: Path, lines: str, told: str) -> None:
    _, inputs = _read(tmp_path, posts=f"{POSTS}\n{SIDES}{lines}\n")
    assert any(told in note for note in inputs.notes), inputs.notes
    assert inputs.tables["posts"].rows_valid == inputs.tables["posts"].rows_read


def test_a_reply_without_its_time_is_told_and_counts_as_an_answer(tmp_path: Path) -> None:
    part, inputs = _read(
        tmp_path,
        cases=f"{CASES}\nk,2026-03-01T10:00:00Z,mail,1,,2026-03-01T11:00:00Z\n"
        "m,2026-03-01T10:00:00Z,mail,2,2026-03-01T10:30:00Z,\n",
    )
    assert any(
        "1 cases were answered or resolved without a time of the first reply (row 1)" in note
        for note in inputs.notes
    )
    assert part.cases.collect()["answered"].all()


def test_what_was_closed_without_an_answer_is_no_answer(tmp_path: Path) -> None:
    part, inputs = _read(
        tmp_path,
        cases=f"{CASES},answered\nk,2026-03-01T10:00:00Z,mail,1,,2026-03-08T10:00:00Z,false\n"
        "m,2026-03-01T10:00:00Z,mail,2,2026-03-01T10:30:00Z,,\n",
    )
    assert not any("without a time of the first reply" in note for note in inputs.notes)
    assert part.cases.collect().sort("case_id")["answered"].to_list() == [False, True]


def test_a_satisfaction_of_three_at_most_is_asked_about(tmp_path: Path) -> None:
    rows = "".join(f"k{n},2026-03-01T10:00:00Z,mail,{n},,,{1 + n % 3}\n" for n in range(30))
    _, inputs = _read(tmp_path, cases=f"{CASES},csat\n{rows}")
    assert any("no csat of 30 is above 3; csat is read as 1-5" in note for note in inputs.notes)


def test_channels_that_the_configuration_does_not_know_are_named_with_the_nearest(tmp_path: Path) -> None:
    care = '[channels]\nemail = { group = "mail" }'
    _, inputs = _read(tmp_path, care, cases=f"{CASES}\nk,2026-03-01T10:00:00Z,e-mail,1,,\n")
    assert any('"e-mail"' in note and "email" in note for note in inputs.notes)


def test_a_promise_where_nothing_comes_is_refused_with_the_nearest(tmp_path: Path) -> None:
    care = '[[care.promises]]\nname = "hour"\nwithin_minutes = 60\nchannel = "twiter"'
    with pytest.raises(ConfigError, match=r'no case or post has the channel "twiter"; .*twitter'):
        _read(tmp_path, care, cases=f"{CASES}\nk,2026-03-01T10:00:00Z,twitter,1,,\n")


def test_with_a_key_rejected_posts_name_no_author_and_say_no_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIBUTARY_ID_KEY", "0123456789abcdef0123456789abcdef")
    _, inputs = _read(
        tmp_path,
        posts=f"{POSTS}\na,x,ann_b,2026-03-01T10:00:00Z,,Where is my parcel?,false\n"
        "b,x,acme,2026-03-01T11:00:00Z,a,Here,true\nc,x,cy_d,yesterday,,My name is Cy,false\n",
    )
    (row,) = inputs.tables["posts"].rejected.rows(named=True)
    assert len(row["author"]) == 32
    assert row["text"] is None
    assert "Cy" not in str(row)


def test_a_cost_of_next_year_and_objectives_that_cannot_be_met_are_named_before_the_run(
    tmp_path: Path,
) -> None:
    _, inputs = _read(
        tmp_path,
        cases=f"{CASES}\nk,2026-03-01T10:00:00Z,mail,1,2026-03-01T12:00:00Z,\n",
        costs="channel,period_start,period_end,amount\nmail,2026-03-01,2026-03-31,9\nmail,2027-03-01,2027-03-31,9\n",
        objectives="objective,kpi,baseline,target,weight\n"
        "service,service_levle,.5,.7,0\nspeed,first_response_p50 business,60,60,0\nfame,,0,1,0\n",
    )
    told = "\n".join(inputs.notes)
    assert (
        "costs.csv: rows of costs that lie wholly outside of it: 1 (first: 2027-03-01 to 2027-03-31)" in told
    )
    assert 'objectives.csv: 1 of 3 objectives name no known figure ("service_levle"); did you mean' in told
    assert 'have a target that is the baseline ("speed"): nothing can be attained.' in told
    assert "objectives.csv: no objective has a weight above 0: there will be no score." in told


OTHER = "post_id,platform,author,timestamp,case_id,text,visibility"
JOURNAL = (
    f"{OTHER}\n"
    "a,desk,u1,2026-03-01T10:00:00Z,k,Where is it?,private\n"
    "b,desk,Bot,2026-03-01T10:00:02Z,k,Hello!,private\n"
    "c,desk,@Ann,2026-03-01T10:05:00Z,k,called the warehouse,internal\n"
    "d,desk,ann,2026-03-01T11:00:00Z,k,It is on its way.,private\n"
)


def test_without_a_flag_the_agents_names_tell_whose_posts_are_the_brands(tmp_path: Path) -> None:
    """The robot is an automatic author, Ann an agent of the case; her note to colleagues is no reply."""
    part, inputs = _read(
        tmp_path,
        '[channels]\nmail = { group = "care" }\n[care]\nautomatic_authors = ["bot"]',
        posts=JOURNAL,
        cases="case_id,opened_at,channel,agent\nk,2026-03-01T10:00:00Z,mail,Ann\n",
    )
    row = part.cases.collect().row(0, named=True)
    assert not any("does not name" in note for note in inputs.notes)  # "desk" is no channel: the case has one
    assert row["first_response_minutes"] == 60
    assert any("1 are internal notes" in note for note in part.notes)
    assert any("2 of 3 posts count as the brand's" in note for note in part.notes)


def test_posts_that_nobody_can_tell_apart_cost_the_cases_nothing(tmp_path: Path) -> None:
    part, _ = _read(
        tmp_path,
        posts=JOURNAL,
        cases=f"{CASES}\nk,2026-03-01T10:00:00Z,mail,1,2026-03-01T10:30:00Z,\n",
    )
    assert part.cases.collect()["first_response_minutes"].to_list() == [30]
    assert any("cases is counted without them" in note for note in part.notes)
    with pytest.raises(DataError, match="neither is_brand nor inbound"):
        _read(tmp_path, posts=JOURNAL)


def test_before_the_run_it_is_said_whose_posts_are_whose(tmp_path: Path) -> None:
    (tmp_path / "posts.csv").write_text(JOURNAL, encoding="utf-8")
    path = tmp_path / "care.toml"
    told = {}
    for name, care in (("unknown", ""), ("known", '[care]\nautomatic_authors = ["bot", "ann"]')):
        path.write_text(f'observation_end = 2026-03-31\n{care}\n[inputs]\nposts = "posts.csv"\n')
        config = load_config(path)
        told[name] = "\n".join(foreseen(config, read_inputs(config)))
    assert "A run will leave out what posts say" in told["unknown"]
    assert "posts count as the brand's" in told["known"]


def test_a_robot_among_the_agents_is_no_human_and_one_nobody_named_is_asked_about(tmp_path: Path) -> None:
    head = "case_id,opened_at,channel,agent,first_response_at,resolved_at\n"
    by_robot = [f"r{k},2026-03-01T10:00:00Z,mail,HelpBot,2026-03-01T10:00:03Z,\n" for k in range(30)]
    solved = ["s,2026-03-01T10:00:00Z,mail,helpbot,2026-03-01T10:00:03Z,2026-03-01T10:00:05Z\n"]
    by_ann = [f"a{k},2026-03-01T10:00:00Z,mail,Ann,2026-03-01T11:00:00Z,\n" for k in range(30)]
    cases = head + "".join(by_robot + solved + by_ann)
    asked, _ = _read(tmp_path, cases=cases)
    assert any("1 of 2 agents answer nearly always within 10 seconds (31 cases)" in n for n in asked.notes)
    assert not any("bot" in note.split("robots")[0] for note in asked.notes)  # nobody is named
    known, _ = _read(tmp_path, '[care]\nautomatic_authors = ["@HelpBot"]', cases=cases)
    assert not any("within 10 seconds" in note for note in known.notes)
    assert any("1 were served by themselves or a robot alone" in note for note in known.notes)
    table = known.cases.collect()
    waits = table.group_by("status").len().sort("status").rows()
    assert waits == [("answered", 30), ("open", 30)]
    assert table["agent"].drop_nulls().unique().to_list() == ["agent 1"]


def test_a_log_of_events_is_told_from_a_table_of_cases(tmp_path: Path) -> None:
    log = "case_id,opened_at,channel\n" + "".join(f"k,2026-03-0{day}T10:00:00Z,mail\n" for day in range(1, 5))
    with pytest.raises(
        DataError, match=r"repeat the case_id .* Is it a log with a row for each event of a case"
    ):
        _read(tmp_path, limits="0.1", cases=log)
    few = log + "".join(f"m{k},2026-03-01T10:00:00Z,mail\n" for k in range(30))
    with pytest.raises(DataError, match=r"3 of 34 rows repeat the case_id") as refused:
        _read(tmp_path, limits="0.05", cases=few)
    assert "Is it a log" not in str(refused.value)
