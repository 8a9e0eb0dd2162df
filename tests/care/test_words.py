"""What texts say, in four languages; what nobody can know is a customer who waits."""

from __future__ import annotations

import polars as pl
import pytest

from care.settings import NeedsReply, Redirection
from care.words import needs_reply, redirection_reason, redirection_target


def _needs(text: str | None, sentiment: float | None = None, rules: NeedsReply | None = None) -> bool:
    frame = pl.DataFrame({"t": [text], "s": [sentiment]}, schema={"t": pl.String, "s": pl.Float64})
    return bool(frame.select(needs_reply(rules or NeedsReply(), pl.col("t"), pl.col("s"))).item())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Do you ship to Norway?", True),
        ("@acme @help how do I reset it", True),
        ("Boots fell apart, third time!", True),
        ("Order 77", True),
        ("Wo bleibt mein Paket", True),
        ("Mein Paket ist immer noch nicht da", True),
        ("¿Cuándo llega", True),
        ("Mon colis n'est toujours pas arrivé", True),
        ("Love the new boots!", False),
        ("@shopcare love your new store <3", False),
        ("Danke, super Service", False),
        ("RT @acme: why pay more?", False),
        ("Done! I entered to win #giveaway", False),
        ("Earn $500 a day from home, ask me how?", False),
        ("hello there", True),
        (None, True),
    ],
)
def test_does_a_post_need_a_reply(text: str | None, expected: bool) -> None:
    assert _needs(text) is expected


def test_an_angry_tone_needs_a_reply_whatever_the_words() -> None:
    assert _needs("great, just great", -0.6) is True
    assert _needs("great, just great", 0.3) is False


def test_rules_can_be_replaced() -> None:
    assert _needs("hello there", rules=NeedsReply(otherwise=False)) is False
    assert _needs("Ciao, aiuto", rules=NeedsReply(otherwise=False, request=("aiuto",))) is True
    with pytest.raises(ValueError, match="no regular expression"):
        NeedsReply(question=("(",))


@pytest.mark.parametrize(
    ("text", "target", "reason"),
    [
        ("Please send us a DM with your order number", "private message", "private data"),
        ("Schick uns bitte eine Direktnachricht", "private message", "other"),
        ("Could you call us on our helpline? We need more room to explain", "phone", "length"),
        ("Please e-mail us", "e-mail", "other"),
        ("Please fill in the contact form", "form", "other"),
        ("Have a look here: https://acme.example/help", "link", "other"),
        ("It arrives today", None, "other"),
    ],
)
def test_does_a_reply_ask_to_move(text: str, target: str | None, reason: str) -> None:
    frame = pl.DataFrame({"t": [text]})
    found = frame.select(
        t=redirection_target(Redirection(), pl.col("t")), r=redirection_reason(Redirection(), pl.col("t"))
    ).row(0)
    assert found == (target, reason)
