"""E-mail, IP and MAC addresses, and user names with passwords in URLs.

Every expression looks at a bounded number of characters around a rare one (`@`, `.`, `:`), so that
the time grows with the length of the text and no faster.

E-mail: a local part of letters (of any alphabet), digits and ``.+_%&'-`` of at most 64 characters, and a
domain with a dot whose last label is not a file suffix (`logo@2x.png`) and is not called
(`a@b.mean()`); also a quoted local part (``"john doe"@example.org``), "name [at] example [dot] org", and without
brackets before the commonest top levels. What ssh and git write with an @ is a place on a machine and not claimed:
``git@github.com:user/repo.git``, ``deploy@web.example.org:/srv``; an address with a colon after it is.

IP: `ipaddress` decides what is well formed. Four small numbers are also what versions and sections
look like, so "1.2.3.4" counts only with a word such as "server" near it, a port or a prefix length.
"::1" and "ab::cd" are slices and scopes in code; short IPv6 addresses need such a word too.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from .context import ESCAPED, Span, near, nearest
from .words import IP_WORDS, MAC_WORDS, NOT_IP_WORDS

_DOMAIN = r"((?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?:[^\W\d_]{2,24}|xn--[a-z0-9-]{2,58}))"
_AT = re.compile(r"@(?<=[\w+%&'-]@)(?=" + _DOMAIN + r"(?!_{0,2}[^\W_]|[(@]|-\w))")
_LOCAL = re.compile(r"[\w.+%&'-]{1,64}$")
_QUOTED_AT = re.compile(r'"@(?=' + _DOMAIN + r"(?!_{0,2}[^\W_]|[(@]|-\w))")
_QUOTED_LOCAL = re.compile(r'(?<![^\s<(\[{,;:=>|])"(?:[^"\\$\n]|\\[^\n]){1,62}$')
_REMOTE_PATH = re.compile(
    r"::?(?![0-9]{2,5}(?![\w.-]))(?:[~/]|\.{1,2}/|[\w.+-]{1,64}/|[\w.+-]{1,64}\.(?:git|tar|gz|tgz|zip|txt|sh|py|sql)(?!\w))"
)
_FORGE = re.compile(
    r"(?:[\w-]+\.){0,3}(?:github|gitlab|bitbucket|codeberg|gitee|sourcehut|sr|azure)\.[a-z]{2,4}", re.IGNORECASE
)
_SSH_BEFORE = re.compile(r"(?:ssh|git|sftp|scp|rsync)://$", re.IGNORECASE)
_SHELL_PROMPT = re.compile(r" [\w~/.-]{1,64}\][#$%]")
_FILE_SUFFIXES = set(re.findall(r"\w+", "png jpg jpeg gif svg webp css js ts py json html htm xml yaml yml txt md pdf"))
_BRACKETED = re.compile(
    r"[\[({] ?(?:at|AT|@) ?[\])}] ?[\w-]{1,63}"
    r"(?: ?[\[({] ?(?:dot|DOT|\.) ?[\])}] ?[\w-]{2,63}|\.[\w-]{2,63}){1,4}(?!\w)"
)
_SPOKEN = re.compile(
    r" at [\w-]{1,63}(?: dot [\w-]{2,63}){0,2} dot (?:com|org|net|edu|gov|io|de|uk|fr|co)(?!\w)", re.IGNORECASE
)
_SPELT_LOCAL = re.compile(r"[\w.+-]{1,64} ?$")
_V4 = re.compile(
    r"[0-9](?:(?<![^\W_].)(?<!\..)|(?<=\\[nrt].)|(?<=%20.))[0-9]{0,2}+\.(?:[0-9]{1,3}+\.){2}[0-9]{1,3}+(?!_{0,2}[^\W_]|\.[0-9])"
)
_V6 = re.compile(rf"(?:(?<![^\W_])(?<![:.])|{ESCAPED})(?=[0-9A-Fa-f]{{0,4}}:)[0-9A-Fa-f:.]{{3,46}}(?!_{{0,2}}[^\W_]|:)")
_V6_STRONG = re.compile(
    r"^::ffff:(?:[0-9]{1,3}\.){3}|(?:[0-9A-Fa-f]{1,4}:){3}|\b(?=[A-Fa-f]*[0-9])(?=[0-9]*[A-Fa-f])[0-9A-Fa-f]{4}:|^2001:"
)
_MAC = re.compile(r"([:-])(?<=(?<![\w:-])[0-9A-Fa-f]{2}.)(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?!\w|\1[0-9A-Fa-f])")
_MAC_DOTTED = re.compile(r"\.(?<=(?<![\w.])[0-9A-Fa-f]{4}\.)[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?![\w.])")
_URL_CREDENTIALS = re.compile(r"(?<=://)[^\s/@:'\"<>]{1,64}:[^\s/@'\"<>]{1,128}(?=@[\w\[])")
_ESCAPES = re.compile(r"(?:%[0-9A-F]{2})+|(?<=\\)(?:[nrt]|u[0-9a-fA-F]{4})")
_CITED_BEFORE = re.compile(
    r"(?<![^\W_])(?:see|cf\.?|(?:shown|seen|stated|described|defined|discussed|proved|given|listed|explained) in"
    r"|§)[ (]*$",
    re.IGNORECASE,
)
_PRODUCT_BEFORE = re.compile(r"[A-Za-z]/$")
_VERSION_BEHIND = re.compile(
    r",? (?:needs|requires|(?:or|and) (?:later|newer|above|higher|up|earlier|older)|fixe[sd]|introduce[sd]|supports"
    r"|(?:was|is) (?:now )?(?:released|out)|release)(?![^\W_])"
)
_WELL_KNOWN = frozenset({"127.0.0.1", "0.0.0.0", "8.8.8.8", "8.8.4.4", "1.1.1.1", "10.0.0.1", "255.255.255.255"})
_SMALL = 40  # four numbers below it look like a version


def emails(text: str) -> Iterator[Span]:
    """E-mail addresses, spelt-out ones included."""
    if "@" in text:
        for at in _AT.finditer(text):
            local = _LOCAL.search(text, max(0, at.start() - 64), at.start())
            domain = at[1]
            if local is None or domain.rpartition(".")[2].lower() in _FILE_SUFFIXES:
                continue
            stop = at.end() + len(domain)
            start = _local_start(text, local.start(), at.start(), stop)
            if start < at.start() and ".." not in text[start : at.start()] and not _of_machine(text, start, at, stop):
                yield Span("EMAIL_ADDRESS", start, stop, text[start:stop])
        yield from _quoted_emails(text)
    for pattern in (_BRACKETED, _SPOKEN):
        for spelt in pattern.finditer(text):
            local = _SPELT_LOCAL.search(text, max(0, spelt.start() - 65), spelt.start())
            if local:
                yield Span("EMAIL_ADDRESS", local.start(), spelt.end(), text[local.start() : spelt.end()])


def _quoted_emails(text: str) -> Iterator[Span]:
    """Addresses whose local part stands in quotation marks and may hold blanks."""
    last = 0
    if '"@' in text:
        for at in _QUOTED_AT.finditer(text):
            local = _QUOTED_LOCAL.search(text, max(0, at.start() - 64), at.start())
            if local and local.start() >= last:
                last = at.end() + len(at[1])
                yield Span("EMAIL_ADDRESS", local.start(), last, text[local.start() : last])


def _of_machine(text: str, start: int, at: re.Match[str], stop: int) -> bool:
    """Whether user and host are those of ssh or git: a path behind a colon, a prompt, a scheme, git's own account."""
    if _REMOTE_PATH.match(text, stop) or _SSH_BEFORE.search(text, max(0, start - 8), start):
        return True
    if text[max(0, start - 1) : start] == "[" and _SHELL_PROMPT.match(text, stop):
        return True
    if text[start : at.start()].lower() not in ("git", "hg"):
        return False
    return text[stop : stop + 1] in (":", "/") or _FORGE.fullmatch(at[1]) is not None


def _local_start(text: str, start: int, at: int, stop: int) -> int:
    """Where the local part begins without escapes of blanks, marks, and underscores that stand on both sides."""
    escape = _ESCAPES.match(text, start, at)
    start = escape.end() if escape else start
    marks = ".'%&-_" if text[stop : stop + 1] == "_" else ".'%&-"
    return at - len(text[start:at].lstrip(marks))


def ip_addresses(text: str) -> Iterator[Span]:
    """IPv4 and IPv6 addresses, public and private."""
    if "." in text:
        for match in _V4.finditer(text):
            if _is_v4(text, match.start(), match.end()):
                yield Span("IP_ADDRESS", *match.span(), match[0])
    if "::" in text or text.count(":") >= 7:
        for match in _V6.finditer(text):
            address = match[0].rstrip(".")
            if address.endswith(":") and not address.endswith("::"):
                address = address[:-1]
            if _is_v6(text, match.start(), address):
                yield Span("IP_ADDRESS", match.start(), match.start() + len(address), address)


def _is_v4(text: str, start: int, stop: int) -> bool:
    """Well formed, and by its looks and its neighbours not the number of a version or section."""
    address = text[start:stop]
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        return False
    if start > 1 and text[start - 1] in "-_" and text[start - 2].isalpha():
        return False  # package-1.2.3.4
    if _VERSION_BEHIND.match(text, stop):
        return False
    verdict = nearest(text, start, IP_WORDS, NOT_IP_WORDS, 60)
    largest = max(int(part) for part in address.split("."))
    cited = largest < 100 and _CITED_BEFORE.search(text, max(0, start - 16), start)
    if verdict < 0 or (verdict == 0 and (cited or _PRODUCT_BEFORE.search(text, max(0, start - 2), start))):
        return False
    if largest >= _SMALL or address in _WELL_KNOWN:
        return True
    return verdict > 0 or re.match(r":[0-9]{2,5}\b|/[0-9]{1,2}\b| - - \[", text[stop : stop + 7]) is not None


def _is_v6(text: str, start: int, address: str) -> bool:
    """Well formed, and long enough not to be code or a row of numbers."""
    colons = address.count(":")
    if start > 1 and text[start - 1] == "[" and (text[start - 2].isalnum() or text[start - 2] in "_)]"):
        return False  # a slice
    if ("::" not in address and colons not in (6, 7)) or not 2 <= colons <= 8:
        return False
    if _V6_STRONG.search(address) is None:
        if not any(character.isdigit() for character in address):
            return False
        if nearest(text, start, IP_WORDS, NOT_IP_WORDS, 40) <= 0:
            return False
    elif "::" not in address and all(len(group) <= 2 for group in address.split(":")):
        return False  # eight pairs are a fingerprint or an EUI-64, small numbers a ratio
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return True


def mac_addresses(text: str) -> Iterator[Span]:
    """Hardware addresses: six pairs with colons or dashes, three dotted fours beside a word."""
    for pattern, before in ((_MAC, 2), (_MAC_DOTTED, 4)):
        for match in pattern.finditer(text):
            start, stop = match.start() - before, match.end()
            plain = pattern is _MAC and any(c.isalpha() for c in text[start:stop])
            if plain or near(text, start, stop, MAC_WORDS):
                yield Span("MAC_ADDRESS", start, stop, text[start:stop])


def url_credentials(text: str) -> Iterator[Span]:
    """The "user:password" of URLs such as ``https://user:password@example.org``."""
    if "://" in text and "@" in text:
        for match in _URL_CREDENTIALS.finditer(text):
            yield Span("URL_CREDENTIALS", *match.span(), match[0])
