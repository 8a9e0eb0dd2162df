"""A report goes by mail to a real server on this machine, and to nobody twice."""

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from experiments.bundle.reading import load_bundle
from experiments.delivery import Mailbox, deliver_by_mail, read_mailbox, summary_of
from experiments.digest import tell
from histories.errors import ConfigError, TributaryError
from reports.build import build_context
from tests.reports.company import sources
from tests.sample_bundle import write_sample

aiosmtpd = pytest.importorskip("aiosmtpd.controller", reason="needs aiosmtpd")


class Inbox:
    """What the server took; recipients at `refused.example` are turned away."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []

    async def handle_RCPT(
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if address.endswith("refused.example"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append((list(envelope.rcpt_tos), mail))
        return "250 OK"


@pytest.fixture
def server() -> Iterator[tuple[Inbox, int]]:
    inbox = Inbox()
    controller = aiosmtpd.Controller(inbox, hostname="127.0.0.1", port=0)
    controller.port = _free_port()
    controller.start()
    try:
        yield inbox, controller.port
    finally:
        controller.stop()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def mailbox(port: int, to: str = "board@example.org,cfo@example.org") -> Mailbox:
    return read_mailbox(f"smtp://127.0.0.1:{port}?from=reports@example.org&to={to}")


def test_the_pdf_and_three_sentences_arrive_once(server: tuple[Inbox, int], tmp_path: Path) -> None:
    inbox, port = server
    context = build_context(sources())
    assert deliver_by_mail(context, b"%PDF-1.7", mailbox(port), runs=tmp_path) == (
        "board@example.org",
        "cfo@example.org",
    )
    ((to, mail),) = inbox.mails
    assert to == ["board@example.org", "cfo@example.org"]
    body = mail.get_body(preferencelist=("plain",))
    assert body is not None
    text = body.get_content()
    assert len(summary_of(context)) == 3
    assert all(sentence in text for sentence in summary_of(context))
    (attached,) = mail.iter_attachments()
    assert attached.get_content() == b"%PDF-1.7"
    assert attached.get_filename() == "report-2026-06-30.pdf"

    assert deliver_by_mail(context, b"%PDF-1.7", mailbox(port), runs=tmp_path) == ()
    more = mailbox(port, "CFO@example.org,new@example.org")
    assert deliver_by_mail(context, b"%PDF-1.7", more, runs=tmp_path) == ("new@example.org",)
    assert deliver_by_mail(context, b"%PDF-1.7", mailbox(port), runs=tmp_path, again=True)
    assert len(inbox.mails) == 3


def test_a_mail_that_was_refused_does_not_count_as_delivered(
    server: tuple[Inbox, int], tmp_path: Path
) -> None:
    inbox, port = server
    context = build_context(sources())
    nobody = mailbox(port, "x@refused.example")
    with pytest.raises(TributaryError, match=r"could not be mailed by 127\.0\.0\.1"):
        deliver_by_mail(context, b"%PDF", nobody, runs=tmp_path)
    with pytest.raises(TributaryError, match="refused 1 of 2 recipients"):
        deliver_by_mail(context, b"%PDF", mailbox(port, "a@example.org,x@refused.example"), runs=tmp_path)
    assert [to for to, _ in inbox.mails] == [["a@example.org"]]
    assert deliver_by_mail(context, b"%PDF", mailbox(port, "a@example.org"), runs=tmp_path) == ()


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TributaryError, match=r"could not be mailed by 127\.0\.0\.1:"):
        deliver_by_mail(build_context(sources()), b"%PDF", mailbox(_free_port()), runs=tmp_path)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("smtp://host", "host, one from and at least one to"),
        ("smtp://?from=a@b.c&to=d@e.f", "host, one from and at least one to"),
        ("smtp://host?from=a@b.c&to=nobody", '"nobody" is no mail address'),
        ("smtp://host?from=a@b.c&to=x@y%0d%0aBcc:z@y", "is no mail address"),
        ("smtp://me:secret@host?from=a@b.c&to=d@e.f", "TRIBUTARY_SMTP_PASSWORD"),
        ("smtp://host:99999?from=a@b.c&to=d@e.f", "the port is no number"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(target: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        read_mailbox(target)
    assert "secret" not in str(refused.value)


def test_a_digest_arrives_with_its_signals(server: tuple[Inbox, int], tmp_path: Path) -> None:
    inbox, port = server
    path = write_sample(tmp_path / "v1", name="shop")
    assert len(tell(load_bundle(path), mailbox(port), runs=tmp_path)) == 1
    assert tell(load_bundle(path), mailbox(port), runs=tmp_path) == []
    ((to, mail),) = inbox.mails
    assert to == ["board@example.org", "cfo@example.org"]
    assert mail["Subject"] == "1 thing left the limits: shop, data to 2025-12-31"
    assert "31 requests on chat" in mail.get_content()
