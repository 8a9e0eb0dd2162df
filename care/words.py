r"""What texts say: does a post need a reply, does a reply ask to move elsewhere, and where to.

Rules are regular expressions of Rust's flavour, read without case, by language (English, German, French,
Spanish); every list can be replaced in `[care.needs_reply]` and `[care.redirection]`. They are rules of
thumb and are documented as such: a column `needs_reply` from the desk itself always wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import polars as pl

from care.settings import NeedsReply, Redirection

NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "question": (
        r"\?",
        r"^(?:\W*@\w+\b)*\W*\b(?:how|what|when|where|why|who|which|can|could|do|does|did|is|are|will|would|any(?:one|body)?)\b",
        r"^(?:\W*@\w+\b)*\W*\b(?:wie|was|wann|wo|warum|wieso|wer|welche[rsn]?|kann|könnt|gibt es)\b",
        r"^(?:\W*@\w+\b)*\W*\b(?:comment|quand|où|pourquoi|quel(?:le)?s?|est-ce|pouvez)\b",
        r"^(?:\W*@\w+\b)*\W*\b(?:cómo|qué|cuándo|dónde|por qué|quién|pueden?)\b",
    ),
    "request": (
        r"\b(?:please|pls|plz|help|need|want|send me|call me|contact me|get back to|let me know)\b",
        r"\b(?:refund|cancel)\b",
        r"\b(?:bitte|hilfe|brauche|meldet euch|rückerstattung|kündigen|stornieren)\b",
        r"\b(?:s'il vous pla[iî]t|svp|aide|besoin|rembours\w*|annuler)\b",
        r"\b(?:por favor|ayuda|necesito|reembolso|cancelar)\b",
    ),
    "problem": (
        r"\b(?:not|never|no longer|isn'?t|doesn'?t|don'?t|didn'?t|won'?t|can'?t|cannot|still)\b",
        r"\b(?:nobody|no one|third time|second time)\b",
        r"\b(?:broken?|broke|fell apart|fault\w*|fail\w*|error|issue|problem|wrong|missing|lost|late)\b",
        r"\b(?:delay\w*|down|stuck|damaged|defect\w*|crash\w*|charged|overcharged|scam|complain\w*)\b",
        r"\b(?:nicht|nie|kein\w*|kaputt|fehler|problem|falsch|fehlt|verloren|verspät\w*|defekt|immer noch)\b",
        r"\b(?:ne .{1,20} pas|jamais|cassée?|erreur|problème|manque|perdue?|retard|toujours pas|panne)\b",
        r"\b(?:no funciona|nunca|roto|rota|error|problema|falta|perdido|retraso|todavía)\b",
    ),
    "order": (
        r"\b(?:order|ticket|case|invoice|booking|ref(?:erence)?|account|bestell\w*|rechnung|commande|pedido)\b"
        r"\W{0,3}(?:n(?:o|r|um(?:ber|mer)?)?\.?|number|id)?\W{0,3}#?[a-z]{0,4}-?\d{2,}",
    ),
    "praise": (
        r"\b(?:love[sd]?|great|awesome|amazing|thanks?|thank you|thx|excellent|perfect|best|brilliant|happy|"
        r"fantastic|wonderful|cheers|kudos|well done|appreciate\w*)\b",
        r"\b(?:danke\w*|toll\w*|super|klasse|perfekt|liebe|großartig\w*)\b",
        r"\b(?:merci|génial\w*|parfaite?|adore|excellente?)\b",
        r"\b(?:gracias|genial|perfecto|encanta|excelente)\b",
    ),
    "repost": (r"^\s*rt\s+@", r"^\s*via\s+@"),
    "competition": (
        r"#?\b(?:giveaway|competition|sweepstakes?|contest|gewinnspiel|concours|sorteo)\b",
        r"\b(?:enter(?:ed|ing)?|i)\b.{0,20}\bto win\b",
    ),
    "spam": (
        r"\b(?:earn|make) (?:\$|£|€)?\d+.{0,30}\b(?:day|week|home)\b",
        r"\b(?:crypto|forex|bitcoin) (?:signals?|invest\w*|trad\w*)\b",
        r"\bfollow(?:ers)? (?:back|for follow)\b|\bbuy followers\b|\bf4f\b",
        r"(?:https?://\S+\s*){3,}",
    ),
}
"""Built-in rules: the first four say yes, the last four no."""

TARGETS: Final[Mapping[str, tuple[str, ...]]] = {
    "private message": (
        r"\b(?:dm|dms|pm|direct message|private(?:ly)? message|message us|inbox us|in private|privately)\b",
        r"\b(?:direktnachricht|privatnachricht|private nachricht|pn)\b",
        r"\b(?:message privé|en privé|mp)\b",
        r"\b(?:mensaje (?:directo|privado)|md|por privado)\b",
        r"(?:twitter|x)\.com/messages|\bm\.me/",
    ),
    "phone": (
        r"\b(?:call (?:us|our)|give us a (?:call|ring)|phone us|ring us|by phone|helpline|hotline)\b",
        r"\b(?:ruf(?:en)? (?:sie )?uns|telefonisch|appelez|llám[ae]nos)\b",
    ),
    "e-mail": (
        r"\b(?:e-?mail us|by e-?mail|send (?:us )?an e-?mail|drop us an e-?mail|write to us at)\b",
        r"\b(?:mail(?:en)? (?:sie )?(?:an )?uns|per e-?mail|par e-?mail|correo electrónico)\b",
    ),
    "form": (
        r"\b(?:(?:contact|web|online|complaints?) form|fill (?:in|out)|formular|formulaire|formulario)\b",
    ),
    "link": (r"\b(?:visit|go to|head (?:over )?to|click|see|here)\b.{0,40}(?:https?://|www\.|\blink\b)",),
}
"""Built-in rules of where a brand asks a customer to go; the first that matches counts."""

REASONS: Final[Mapping[str, tuple[str, ...]]] = {
    "private data": (
        r"\b(?:order (?:number|no|id|ref\w*)|account|details|address|e-?mail address|phone number|post ?code|"
        r"zip|date of birth|booking (?:number|ref\w*)|reference|card|password|security|personal)\b",
        r"\b(?:bestellnummer|kundennummer|konto|daten|adresse|numéro|coordonnées|compte|número|datos|cuenta)\b",
    ),
    "length": (
        r"\b(?:characters|more room|in (?:more )?detail|at length|explain|discuss|more information)\b",
        r"\b(?:zeichen|ausführlich|caractères|en détail|más detalle)\b",
    ),
}
"""Built-in rules of why; any other reason is "other"."""

CHANNELS: Final[Mapping[str, str]] = {
    "private message": r"\b(?:dm|direct|private|message|messenger|whatsapp|inbox|chat)",
    "phone": r"phone|call|voice|hotline",
    "e-mail": r"e-?mail",
    "form": r"form|web|ticket",
    "link": r"web|form|site|portal|chat|app|link",
}
"""By which names of channels a customer is found again where they were sent."""


def matches(text: pl.Expr, patterns: Iterable[str]) -> pl.Expr:
    """Whether any of the patterns is found, without case; false for no text and for no pattern."""
    given = [f"(?:{pattern})" for pattern in patterns]
    if not given:
        return pl.lit(False)
    return text.str.contains(f"(?i){'|'.join(given)}").fill_null(False)


def needs_reply(rules: NeedsReply, text: pl.Expr, sentiment: pl.Expr) -> pl.Expr:
    """Whether a customer's post needs a reply, by its text and tone.

    A repost, competition entry or spam: no. A question, request, problem, order number or a tone below the
    limit: yes. Praise without any of these: no. What no rule knows: `rules.otherwise`.
    """

    def has(kind: str) -> pl.Expr:
        own: tuple[str, ...] | None = getattr(rules, kind)
        return matches(text, NEEDS[kind] if own is None else own)

    return (
        pl.when(has("repost") | has("competition") | has("spam"))
        .then(pl.lit(False))
        .when(
            has("question")
            | has("request")
            | has("problem")
            | has("order")
            | (sentiment < rules.tone_below).fill_null(False)
        )
        .then(pl.lit(True))
        .when(has("praise"))
        .then(pl.lit(False))
        .otherwise(pl.lit(rules.otherwise))
    )


def redirection_target(rules: Redirection, text: pl.Expr) -> pl.Expr:
    """Where a brand's post asks the customer to go; null when nowhere."""
    targets = TARGETS if rules.targets is None else rules.targets
    return pl.coalesce(
        *(pl.when(matches(text, patterns)).then(pl.lit(name)) for name, patterns in targets.items()),
        pl.lit(None, dtype=pl.String),
    )


def redirection_reason(rules: Redirection, text: pl.Expr) -> pl.Expr:
    """Why: "private data", "length" or "other"."""
    reasons = REASONS if rules.reasons is None else rules.reasons
    found = (pl.when(matches(text, patterns)).then(pl.lit(name)) for name, patterns in reasons.items())
    return pl.coalesce(*found, pl.lit("other"))


def channel_patterns(rules: Redirection) -> Mapping[str, str]:
    """Pattern of channel names by target."""
    return CHANNELS if rules.channels is None else rules.channels
