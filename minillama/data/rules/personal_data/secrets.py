"""Keys, tokens, passwords and Bitcoin addresses.

Providers publish how their keys begin and how long they are so that they can be found in texts (as
BigCode's and detect-secrets' filters do). A password or key without such a mark counts only after
a name and "=" or ":" (``api_key = "…"``), and only if it mixes letters with digits. Bitcoin addresses have checksums.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .checks import base58_valid, bech32_valid
from .context import Span

_MARKED = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"(?:AKIA|ASIA)[0-9A-Z]{16}"  # Amazon
    r"|gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{50,90}|glpat-[\w-]{20}"  # GitHub, GitLab
    r"|sk-(?:proj-|ant-|svcacct-)?[A-Za-z0-9_-]{32,180}|hf_[A-Za-z]{34}"  # model providers
    r"|xox[abposr]-[A-Za-z0-9-]{10,80}"  # Slack
    r"|AIza[\w-]{35}"  # Google
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{16,99}"  # Stripe
    r"|SG\.[\w-]{22}\.[\w-]{43}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,200}"
    r"|eyJ[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{10,1000}"  # JSON web token
    r")(?![A-Za-z0-9_])"
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----[^-]{0,10000}(?:-----END [A-Z ]{3,40}-----)?"
)
_MARKS: tuple[str, ...] = (
    "AKIA",
    "ASIA",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "sk-",
    "hf_",
    "xox",
)
_MARKS += ("AIza", "k_live_", "k_test_", "SG.", "npm_", "pypi-", "eyJ")
_NAMED = re.compile(r"[:=]{1,2}[ \t]{0,3}['\"]?([^\s'\",;<>(){}]{8,200})")
_NAME = re.compile(
    r"(?<![^\W_])(?:pass(?:word|wd|phrase)?|pwd|secret"
    r"|(?:api|access|auth|secret|private|client)[_ -]?(?:key|token|secret)|token|bearer)['\"]?(?: is)?[ \t]{0,3}$"
)
_NAMES = ("pass", "pwd", "secret", "key", "token", "bearer")
_BASE58 = re.compile(r"[13](?<![^\W_].)[1-9A-HJ-NP-Za-km-z]{25,34}+(?![^\W_])")
_BECH32 = re.compile(r"(?:bc1[02-9ac-hj-np-z]{11,87}+|BC1[02-9AC-HJ-NP-Z]{11,87}+)(?![^\W_])")


def secrets(text: str, lower: str) -> Iterator[Span]:
    """Keys by their marks, private keys, and values that are named passwords or keys."""
    if any(mark in text for mark in _MARKS):
        for match in _MARKED.finditer(text):
            yield Span("SECRET", *match.span(), match[0])
    if "-----BEGIN " in text:
        for match in _PRIVATE_KEY.finditer(text):
            yield Span("SECRET", *match.span(), match[0])
    if (":" in text or "=" in text) and any(name in lower for name in _NAMES):
        for match in _NAMED.finditer(text):
            value = match[1].rstrip(".!?")
            mixed = (
                len(value) >= 8 and re.search("[A-Za-z]", value) and re.search("[0-9]", value) and "://" not in value
            )
            if mixed and _NAME.search(text[max(0, match.start() - 30) : match.start()].lower()):
                yield Span("SECRET", match.start(1), match.start(1) + len(value), value)


def crypto_addresses(text: str) -> Iterator[Span]:
    """Bitcoin addresses whose checksum holds."""
    for match in _BASE58.finditer(text):
        if base58_valid(match[0]):
            yield Span("CRYPTO", *match.span(), match[0])
    if "bc1" in text or "BC1" in text:
        for match in _BECH32.finditer(text):
            if not text[match.start() - 1 : match.start()].isalnum() and bech32_valid(match[0]):
                yield Span("CRYPTO", *match.span(), match[0])
