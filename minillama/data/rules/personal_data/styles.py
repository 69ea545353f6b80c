"""The published rules of two corpora, as published.

Dolma (its tagger of personal data; arXiv:2402.00159 §5.3): an e-mail address is what stands around an @
between blanks, with a dot after the @ and at most one mark and a blank after it, so not at the
very end of a text; a telephone number is 3-3-4 digits after a blank; an IPv4 address is four numbers up
to 255. Telephones and IP addresses do not count where "isbn", "doi" or "#" is within 100 characters,
telephones not in a text with a URL. (In the published code the expression for URLs begins with a
backspace character and never matches; the rule as it is described is what is here.) The published
expressions take time that grows with the square of a long word; the ones here take linear
time (and differ on rare strings of marks). Only the address is replaced, not the blanks that Dolma's spans
have around it.

FineWeb (datatrove's formatter of personal data): lower-case e-mail addresses and IPv4 addresses that
are public, replaced in turn by those below.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator

from .context import WINDOW, Span

DOLMA_KINDS: tuple[str, ...] = ("EMAIL_ADDRESS", "PHONE_NUMBER", "IP_ADDRESS")
FINEWEB_KINDS: tuple[str, ...] = ("EMAIL_ADDRESS", "IP_ADDRESS")
FINEWEB_EMAILS = ("email@example.com", "firstname.lastname@example.org")
FINEWEB_IPS = ("22.214.171.124", "126.96.36.199", "188.8.131.52", "184.108.40.206", "220.127.116.11", "18.104.22.168")

_BYTE = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
_IPV4 = re.compile(rf"(?:{_BYTE}\.){{3}}{_BYTE}")
_DOLMA_WORD = re.compile(r"[^\s@]++(?:@([^\s@,?!;:)(]++)(?=\s|[@,?!;:)(]\s))?")
_DOLMA_PHONE = re.compile(r"\s\(?[0-9]{3}\)?[-. ]{0,40}[0-9]{3}[-. ]?[0-9]{4}")
_URL = re.compile(r"https?://\S|(?<!\w)www[0-9]{0,3}\.\S|[a-z0-9.-]\.[a-z]{2,4}/\S", re.IGNORECASE)
_FW_CHARACTER = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]"
_FW_LOCAL = re.compile(rf"{_FW_CHARACTER}+(?:\.{_FW_CHARACTER}+)*$")
_FW_ANY = re.compile(rf"(?:{_FW_CHARACTER}|\.)+$")
_EDGE = re.compile(r"\b(?=.)")
_FW_DOMAIN = re.compile(
    rf"@(?:(?:[a-z0-9](?:[a-z0-9-]{{0,200}}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{{0,200}}[a-z0-9])?|\[(?:{_BYTE}\.){{3}}{_BYTE}\])"
)
_FW_AT = re.compile(rf"(?<={_FW_CHARACTER})@(?=[a-z0-9\[])")
_LONGEST_LOCAL = 256  # characters in front of an @ that are looked at


def dolma_spans(text: str, kinds: Iterable[str] = DOLMA_KINDS) -> list[Span]:
    """What Dolma's rules find, sorted; see the module."""
    found: list[Span] = []
    if "EMAIL_ADDRESS" in kinds and "@" in text:
        found += _dolma_emails(text)
    if "IP_ADDRESS" in kinds:
        found += _dolma_numbers(text, "IP_ADDRESS", _IPV4, 0)
    if "PHONE_NUMBER" in kinds:
        phones = list(_dolma_numbers(text, "PHONE_NUMBER", _DOLMA_PHONE, 1))
        if phones and not _URL.search(text):
            found += phones
    return _apart(found)


def _dolma_emails(text: str) -> Iterator[Span]:
    """What stands around an @; a last dot belongs to the sentence."""
    for match in _DOLMA_WORD.finditer(text):
        if match[1] is None:
            continue
        at = match.start(1) - 1
        before = match[0][: at - match.start()]
        local = before.lstrip(".,?!;:)(") or before[-1:]
        domain = match[1]
        if domain.endswith(".") and text[match.end() : match.end() + 1].isspace() and len(domain) > 1:
            domain = domain[:-1]
        if local != "(" and "." in domain:
            start = at - len(local)
            yield Span("EMAIL_ADDRESS", start, at + 1 + len(domain), text[start : at + 1 + len(domain)])


def _dolma_numbers(text: str, kind: str, pattern: re.Pattern[str], skip: int) -> Iterator[Span]:
    """Matches without "isbn", "doi" or "#" around."""
    for match in pattern.finditer(text):
        around = text[max(0, match.start() - WINDOW) : match.end() + WINDOW]
        if "isbn" not in around and "doi" not in around and "#" not in around:
            yield Span(kind, match.start() + skip, match.end(), match[0][skip:])


def fineweb_spans(text: str, kinds: Iterable[str] = FINEWEB_KINDS) -> list[Span]:
    """What FineWeb's rules find, sorted; see the module."""
    found: list[Span] = []
    if "EMAIL_ADDRESS" in kinds and "@" in text:
        for at in _FW_AT.finditer(text):
            domain = _FW_DOMAIN.match(text, at.start())
            start = _fineweb_start(text, at.start()) if domain else None
            if domain and start is not None:
                found.append(Span("EMAIL_ADDRESS", start, domain.end(), text[start : domain.end()]))
    if "IP_ADDRESS" in kinds:
        found += (Span("IP_ADDRESS", *m.span(), m[0]) for m in _IPV4.finditer(text) if _public(m[0]))
    return _apart(found)


def _fineweb_start(text: str, at: int) -> int | None:
    """Where the local part begins: at the first edge of a word in the characters that it may hold."""
    least = max(0, at - _LONGEST_LOCAL)
    local = _FW_ANY.search(text, max(least, text.rfind("@", least, at) + 1), at)
    if local is None:
        return None
    for edge in _EDGE.finditer(text, local.start(), at):
        if _FW_LOCAL.fullmatch(text, edge.start(), at):
            return edge.start()
    return None


def _public(address: str) -> bool:
    """Whether the address can be a person's on the internet."""
    try:
        return ipaddress.IPv4Address(address).is_global
    except ValueError:
        return False


def fineweb_replacements(spans: list[Span]) -> list[str]:
    """FineWeb's neutral addresses in rotation, one for each span."""
    turn = {"EMAIL_ADDRESS": 0, "IP_ADDRESS": 0}
    values = []
    for span in spans:
        choices = FINEWEB_EMAILS if span.kind == "EMAIL_ADDRESS" else FINEWEB_IPS
        values.append(choices[turn[span.kind] % len(choices)])
        turn[span.kind] += 1
    return values


def _apart(found: list[Span]) -> list[Span]:
    """Sorted, and of overlapping spans the first; e-mail addresses come before numbers at one place."""
    chosen: list[Span] = []
    for span in sorted(found, key=lambda span: (span.start, span.kind)):
        if not chosen or span.start >= chosen[-1].stop:
            chosen.append(span)
    return chosen
