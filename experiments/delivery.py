"""A report by mail: the PDF, three sentences, and no run twice to the same people."""

from __future__ import annotations

import datetime as dt
import os
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from histories.durable import locked
from histories.errors import ConfigError, TributaryError
from reports.context import Asks, ReportContext

PASSWORD: Final = "TRIBUTARY_SMTP_PASSWORD"
LOG: Final = "delivered.log"
_SECONDS: Final = 30
_FORM: Final = "smtp://[user@]host[:port]?from=reports@example.org&to=board@example.org,cfo@example.org"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """Where mail is handed over, from whom and to whom.

    Attributes
    ----------
    secure
        TLS from the first byte (`smtps://`); otherwise TLS begins as soon as the server offers it.
    """

    host: str
    port: int
    secure: bool
    user: str | None
    sender: str
    recipients: tuple[str, ...]


def is_mail(target: str) -> bool:
    """Whether a target of delivery is a mail server rather than a folder."""
    return target.startswith(("smtp://", "smtps://"))


def read_mailbox(target: str) -> Mailbox:
    """Understand an address such as `smtp://relay:25?from=a@example.org&to=b@example.org`.

    >>> read_mailbox("smtp://relay?from=a@example.org&to=b@example.org,c@example.org").recipients
    ('b@example.org', 'c@example.org')

    Raises
    ------
    ConfigError
        When a part is missing, an address is none, or a password stands where others can read it.
    """
    parts = urlsplit(target)
    asked = parse_qs(parts.query)
    senders, recipients = asked.get("from", []), [a for text in asked.get("to", []) for a in text.split(",")]
    recipients = [address.strip() for address in recipients if address.strip()]
    if parts.password:
        raise ConfigError(
            f"--deliver: a password in the address can be read by others; set {PASSWORD} instead."
        )
    try:
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"--deliver: the port is no number from 0 to 65535. Write {_FORM}.") from error
    if not parts.hostname or len(senders) != 1 or not recipients:
        raise ConfigError(f"--deliver: host, one from and at least one to are needed. Write {_FORM}.")
    for address in (*senders, *recipients):
        name, _, domain = address.partition("@")
        if not name or not domain or any(mark in address for mark in " \r\n<>"):
            raise ConfigError(f'--deliver: "{address[:80]!s}" is no mail address. Write {_FORM}.')
    secure = parts.scheme == "smtps"
    return Mailbox(
        host=parts.hostname,
        port=port if port is not None else 465 if secure else 25,
        secure=secure,
        user=unquote(parts.username) if parts.username else None,
        sender=senders[0],
        recipients=tuple(recipients),
    )


def summary_of(context: ReportContext) -> tuple[str, ...]:
    """Three sentences: what was earned, the whole programme or what would have come anyway, the first ask."""
    told = [context.headline.text]
    if context.deck:
        told.append(context.deck[-1].text)
    decisions = context.section("decisions")
    if decisions is not None:
        asks = [ask for block in decisions.blocks if isinstance(block, Asks) for ask in block.asks]
        told.append(asks[0].text if asks else decisions.finding.text)
    return tuple(told)


def deliver_by_mail(
    context: ReportContext, pdf: bytes, mailbox: Mailbox, *, runs: Path, again: bool = False
) -> tuple[str, ...]:
    """Mail a report; return those to whom it went.

    Who has had this run's report before is left out, unless `again`; `delivered.log` in the folder of the
    runs remembers it.

    Raises
    ------
    TributaryError
        When the server cannot be reached, or refuses; nothing is remembered as delivered then.
    """
    with locked(runs, "delivery"):
        had = set() if again else _delivered(runs, context.run_id)
        to = tuple(address for address in mailbox.recipients if address.lower() not in had)
        if not to:
            return ()
        refused = hand_over(_message(context, pdf, mailbox.sender, to), mailbox, to)
        taken = tuple(address for address in to if address not in refused)
        _remember(runs, context.run_id, taken)
    if refused:
        raise TributaryError(
            f"The server refused {len(refused)} of {len(to)} recipients; the others have the report. "
            "Mend the addresses and deliver again: nobody gets it twice."
        )
    return taken


def _message(context: ReportContext, pdf: bytes, sender: str, to: tuple[str, ...]) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = f"{context.title}: {context.period}"
    message["From"], message["To"] = sender, ", ".join(to)
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = make_msgid(domain=sender.partition("@")[2])
    sentences = "\n\n".join(summary_of(context))
    message.set_content(f"{sentences}\n\nThe report is attached. Data to {context.as_of_words}.\n")
    message.add_attachment(pdf, maintype="application", subtype="pdf", filename=f"report-{context.as_of}.pdf")
    return message


def hand_over(
    message: EmailMessage, mailbox: Mailbox, to: tuple[str, ...], *, what: str = "The report"
) -> frozenset[str]:
    """Hand a message to the server; who was refused.

    Raises
    ------
    TributaryError
        When the server cannot be reached, or refuses; `what` could not be mailed then.
    """
    tls = ssl.create_default_context()
    try:
        server: smtplib.SMTP
        if mailbox.secure:
            server = smtplib.SMTP_SSL(mailbox.host, mailbox.port, timeout=_SECONDS, context=tls)
        else:
            server = smtplib.SMTP(mailbox.host, mailbox.port, timeout=_SECONDS)
        with server:
            server.ehlo()
            if not mailbox.secure and server.has_extn("starttls"):
                server.starttls(context=tls)
                server.ehlo()
            if mailbox.user:
                server.login(mailbox.user, os.environ.get(PASSWORD, ""))
            refused = server.send_message(message, from_addr=mailbox.sender, to_addrs=list(to))
            return frozenset(refused)
    except (OSError, smtplib.SMTPException) as error:
        where = f"{mailbox.host}:{mailbox.port}"
        raise TributaryError(
            f"{what} could not be mailed by {where} ({type(error).__name__}: {_reason(error)}). "
            "Nothing counts as delivered; check the server and deliver again."
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return str(error.smtp_code)
    return str(getattr(error, "strerror", None) or "no answer")


def _delivered(runs: Path, run_id: str) -> set[str]:
    try:
        lines = (runs / LOG).read_bytes().splitlines()
    except FileNotFoundError:
        return set()
    entries: list[dict[str, Any]] = [orjson.loads(line) for line in lines if line.strip()]
    return {address for entry in entries if entry["run_id"] == run_id for address in entry["to"]}


def _remember(runs: Path, run_id: str, to: tuple[str, ...]) -> None:
    entry = {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "run_id": run_id,
        "to": [address.lower() for address in to],
    }
    with (runs / LOG).open("ab") as stream:
        stream.write(orjson.dumps(entry) + b"\n")
