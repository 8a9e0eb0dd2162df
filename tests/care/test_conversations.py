"""Threads that go wrong in real exports, and the rules by which posts become cases."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from care.conversations import build_conversations
from care.settings import CareSettings
from care.threads import link_posts
from histories.errors import DataError
from tests.care.desks import SETTINGS, cases_of, desk_of, posts


def _ids(text: str, settings: CareSettings = SETTINGS) -> list[str]:
    return sorted(cases_of(posts(text), settings).cases["case_id"].to_list())


def test_a_long_silence_after_the_brands_last_word_begins_a_new_case() -> None:
    lines = """\
a u1   03-02T09:00:00 - public Where is it?
b acme 03-02T10:00:00 a public On its way
c u1   03-05T09:00:00 b public It is not here
d u1   03-08T11:00:00 c public Anybody?"""
    assert _ids(lines) == ["post:a"], "within three days of the brand's word, and then still waiting"
    assert _ids(lines.replace("c u1   03-05", "c u1   03-06")) == ["post:a", "post:c"]


def test_a_robots_word_is_no_last_word() -> None:
    settings = CareSettings(automatic_authors=("@Robot",))
    lines = """\
a u1    03-02T09:00:00 - public Where is it?
b robot 03-02T10:00:00 a public We are closed
c u1    03-09T09:00:00 b public Where is it?"""
    assert _ids(lines, settings) == ["post:a"]


@pytest.mark.parametrize(("seconds", "automatic"), [(5, True), (6, False)])
def test_five_seconds_are_a_robots_speed(seconds: int, automatic: bool) -> None:
    lines = f"""\
a u1   03-02T09:00:00 - public Where is it?
b acme 03-02T09:00:0{seconds} a public Hello"""
    case = cases_of(posts(lines)).cases.row(0, named=True)
    assert case["answered"] is not automatic


def test_a_text_that_repeats_is_an_agents_macro_and_no_robot() -> None:
    lines = "\n".join(
        f"c{n} u{n} 03-02T09:00:00 - public Where is it?\nr{n} acme 03-02T09:10:00 c{n} public Please wait"
        for n in range(5)
    )
    assert cases_of(posts(lines)).cases["answered"].all()


def test_cycles_and_replies_to_oneself_are_cut() -> None:
    lines = """\
a u1   03-02T09:00:00 c public Where is it?
b acme 03-02T10:00:00 a public Here
c u1   03-02T11:00:00 b public Thanks, where?
d u2   03-02T12:00:00 d public And mine?"""
    made = build_conversations(link_posts(posts(lines)), SETTINGS)
    assert sorted(made.cases["case_id"]) == ["post:a", "post:d"]


def test_a_reply_before_the_post_it_answers_has_no_time() -> None:
    lines = """\
a u1   03-02T09:00:00 - public Where is it?
b acme 03-02T08:00:00 a public Here"""
    found = build_conversations(link_posts(posts(lines)), SETTINGS)
    case = found.cases.row(0, named=True)
    assert (case["answered"], case["first_response_at"]) == (True, None)


@pytest.mark.parametrize("author", ["acme", "u1"])
def test_one_side_alone_is_refused(author: str) -> None:
    lines = f"a {author} 03-02T09:00:00 - public Where is it?"
    with pytest.raises(DataError, match="Is inbound turned round"):
        link_posts(posts(lines))


def test_posts_of_a_named_conversation_need_no_links() -> None:
    lines = """\
a u1   03-02T09:00:00 - public Where is it?
b acme 03-02T09:30:00 - public Here
c u2   03-02T10:00:00 - public And mine?
d acme 03-02T10:10:00 - public There"""
    frame = posts(lines).with_columns(pl.lit("k").alias("conversation_id"))
    cases = cases_of(frame).cases
    waits = (cases["first_response_at"] - cases["waiting_since"]).dt.total_minutes().to_list()
    assert sorted(waits) == [10, 30]


def test_the_brands_publications_are_no_cases() -> None:
    lines = """\
a acme 03-02T09:00:00 - public New boots!
b u1   03-02T09:30:00 a public Do they run small?"""
    found = build_conversations(link_posts(posts(lines)), SETTINGS)
    assert (found.cases.height, found.publications) == (1, 1)


def test_a_case_of_the_desk_keeps_its_own_time_and_the_difference_is_counted() -> None:
    lines = """\
a u1   03-02T09:00:00 - public Where is it?
b acme 03-02T09:30:00 a public Here"""
    at = dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)
    desk = pl.DataFrame(
        {
            "case_id": ["k"],
            "opened_at": [at],
            "channel": ["twitter"],
            "first_response_at": [at + dt.timedelta(minutes=20)],
        }
    )
    frame = posts(lines).with_columns(pl.lit("k").alias("case_id"))
    cases = cases_of(frame, SETTINGS, desk)
    assert cases.cases.height == 1
    assert desk_of(cases).frame["first_seconds"].to_list() == [20 * 60]
    assert any("1 tell another time" in note for note in cases.notes)


def test_a_post_after_the_resolution_reopens_the_case() -> None:
    lines = """\
a u1 03-02T09:00:00 - public Where is it?
b acme 03-02T09:30:00 a public Here
c u1 03-04T09:00:00 b public It is gone again"""
    at = dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)
    desk = pl.DataFrame(
        {
            "case_id": ["k"],
            "opened_at": [at],
            "channel": ["twitter"],
            "resolved_at": [at + dt.timedelta(hours=1)],
        }
    )
    frame = desk_of(cases_of(posts(lines).with_columns(pl.lit("k").alias("case_id")), SETTINGS, desk)).frame
    assert frame["reopened"].to_list() == [True]
    assert frame["waiting"].to_list() == [True], "the customer asks again and nobody has answered"


def test_buckets_of_customers_give_the_same_cases() -> None:
    """The unit is a customer's complete posts."""
    linked = link_posts(posts())
    whole = build_conversations(linked, SETTINGS)
    parts = [
        build_conversations(linked.filter(pl.col("key").hash(1) % 3 == bucket), SETTINGS)
        for bucket in range(3)
    ]
    apart = pl.concat([part.cases for part in parts if part.cases.height], how="diagonal_relaxed")
    assert apart.sort("case_id").equals(whole.cases.sort("case_id"))
    assert sum(part.waits.height for part in parts) == whole.waits.height


AT = dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)


def test_a_robots_greeting_makes_no_second_turn() -> None:
    lines = """\
a u1   03-02T09:00:00 - public Where is it?
b acme 03-02T09:00:02 a public Hello
c u1   03-02T09:05:00 a public It is order 12"""
    assert cases_of(posts(lines)).cases["turns"].to_list() == [1]


def test_replies_in_posts_answer_a_case_whose_question_only_the_desk_has() -> None:
    lines = """\
a u1   03-02T09:00:00 - public Where is it?
b acme 03-02T09:30:00 - public Here it is"""
    frame = posts(lines).with_columns(pl.Series("case_id", [None, "k"]))
    desk = pl.DataFrame({"case_id": ["k"], "opened_at": [AT], "channel": ["web form"]})
    found = desk_of(cases_of(frame, SETTINGS, desk)).frame.filter(pl.col("journey_id") == "k")
    assert (found["answered"].to_list(), found["first_seconds"].to_list()) == ([True], [1800])


def test_a_reply_before_the_desks_case_was_opened_has_no_time() -> None:
    lines = """\
a u1   03-02T08:00:00 - public Where is it?
b acme 03-02T08:30:00 a public Here it is"""
    desk = pl.DataFrame({"case_id": ["k"], "opened_at": [AT], "channel": ["chat"]})
    cases = cases_of(posts(lines).with_columns(pl.lit("k").alias("case_id")), SETTINGS, desk).cases
    assert cases.select("answered", "first_response_at").rows() == [(True, None)]


def test_what_happens_after_the_end_is_not_known_yet() -> None:
    desk = pl.DataFrame(
        {
            "case_id": ["k"],
            "opened_at": [AT],
            "channel": ["chat"],
            "needs_reply_at": [AT + dt.timedelta(days=40)],
            "first_response_at": [AT + dt.timedelta(days=50)],
            "resolved_at": [AT + dt.timedelta(days=60)],
        }
    )
    frame = desk_of(cases_of(None, SETTINGS, desk)).frame
    assert frame.select("answered", "waiting", "resolved").rows() == [(False, True, False)]
    assert frame["waiting_seconds"].to_list() == [111 * 3600]


def test_one_text_that_soon_ends_many_waits_is_asked_about() -> None:
    def desk(minutes: int) -> str:
        return "\n".join(
            f"c{n} u{n} 03-02T09:00:00 - public Where is it?\n"
            f"r{n} acme 03-02T09:{minutes:02d}:00 c{n} public We will be with you soon"
            for n in range(25)
        )

    (note,) = cases_of(posts(desk(1))).notes
    assert (
        'posts: 25 of 25 replies to a customer say the same, half of them within 60 seconds: "We will' in note
    )
    assert cases_of(posts(desk(20))).notes == ()
