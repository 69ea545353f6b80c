"""Personal data in texts: find it, replace it, or drop the document.

What the LLaMA 2 paper did: it left out whole sites known for much personal data about private
individuals (section 2.1), and mentions nothing finer. It deliberately filtered no further (section 4.1).
What is here is therefore not LLaMA 2's filter but what others have published, and more:

- ``style="dolma"``: the rules of Dolma (arXiv:2402.00159 §5.3): e-mail, US-style telephone, IPv4; up to five
  spans are replaced by ``|||EMAIL_ADDRESS|||`` and the like, six or more drop the document.
- ``style="fineweb"``: the rules of FineWeb (datatrove): e-mail and public IPv4, replaced by fixed
  neutral ones in rotation.
- ``style="checked"`` (default): the kinds of `KINDS`, with checksums, numbering rules and the words around.
  Each rule is explained where it is: `addresses`, `numbers`,
  `phones`, `phone_shapes`, `secrets`. They read plain text; `twins` makes such of escapes, other digits and
  invisible characters.

Names and postal addresses are not found: that takes a tagger of entities, not rules. Finding is
linear in the length of the text. Numbers without a word near them are ambiguous; measured
precision and recall are printed by ``benchmarks/filters_personal_data.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from ...decision import Decision, keep
from .addresses import emails, ip_addresses, mac_addresses, url_credentials
from .context import Span
from .numbers import Run, bank_numbers, cards, ibans, number_runs, papers, social_security_numbers
from .phones import phones
from .secrets import crypto_addresses, secrets
from .styles import DOLMA_KINDS, FINEWEB_KINDS, dolma_spans, fineweb_replacements, fineweb_spans
from .twins import twins

# Best first: where two kinds claim the same characters, the earlier one gets them.
KINDS = (
    "URL_CREDENTIALS",
    "SECRET",
    "EMAIL_ADDRESS",
    "CRYPTO",
    "IBAN_CODE",
    "MAC_ADDRESS",
    "IP_ADDRESS",
    "CREDIT_CARD",
    "US_SSN",
    "US_ITIN",
    "US_PASSPORT",
    "US_DRIVER_LICENSE",
    "PHONE_NUMBER",
    "US_BANK_NUMBER",
)
ACTIONS = ("redact", "drop", "redact-or-drop")
STYLES = {"checked": KINDS, "dolma": DOLMA_KINDS, "fineweb": FINEWEB_KINDS}
_ATS = "@\uff20\ufe6b"
_BY_NUMBERS: dict[str, Callable[[str, list[Run]], Iterator[Span]]] = {
    "CREDIT_CARD": cards,
    "US_SSN": social_security_numbers,
    "US_ITIN": social_security_numbers,
    "PHONE_NUMBER": phones,
    "US_BANK_NUMBER": bank_numbers,
}
_BY_TEXT: dict[str, Callable[[str], Iterator[Span]]] = {
    "URL_CREDENTIALS": url_credentials,
    "EMAIL_ADDRESS": emails,
    "CRYPTO": crypto_addresses,
    "IBAN_CODE": ibans,
    "MAC_ADDRESS": mac_addresses,
    "IP_ADDRESS": ip_addresses,
}


def find_personal_data(text: str, kinds: Iterable[str] = KINDS) -> list[Span]:
    """Personal data of some kinds, found by rules, checksums and the words around.

    Parameters
    ----------
    text : str
    kinds : iterable of str
        Some of `KINDS`; all by default. A kind that is left out cannot claim characters.

    Returns
    -------
    list of Span
        Sorted, not overlapping; ``span.text == text[span.start:span.stop]`` (positions in characters).

    Raises
    ------
    ValueError
        A kind is unknown.

    Examples
    --------
    >>> find_personal_data("Call 555-123-4567")
    [Span(kind='PHONE_NUMBER', start=5, stop=17, text='555-123-4567')]
    """
    wanted = _known(kinds, KINDS, "find_personal_data")
    plain = twins(text)
    if not plain:
        return _best(_find(text, wanted))
    return _best(twin.spelling(span, text) for twin in plain for span in _find(twin.text, wanted))


def _find(text: str, wanted: set[str]) -> list[Span]:
    """What the rules of the wanted kinds find in a plain text; spans may overlap."""
    found: list[Span] = []
    lower = text.lower() if wanted & {"SECRET", "US_PASSPORT", "US_DRIVER_LICENSE"} else ""
    if "SECRET" in wanted:
        found += secrets(text, lower)
    for finder in dict.fromkeys(_BY_TEXT[kind] for kind in KINDS if kind in wanted and kind in _BY_TEXT):
        found += finder(text)
    for kind in sorted(wanted & {"US_PASSPORT", "US_DRIVER_LICENSE"}):
        found += papers(text, lower, kind)
    runs = number_runs(text) if wanted & _BY_NUMBERS.keys() else []
    if runs:
        finders = dict.fromkeys(_BY_NUMBERS[kind] for kind in KINDS if kind in wanted and kind in _BY_NUMBERS)
        found += chain.from_iterable(finder(text, runs) for finder in finders)
    return [span for span in found if span.kind in wanted]


def _known(kinds: Iterable[str], allowed: tuple[str, ...], who: str) -> set[str]:
    """The kinds as a set, or an error that names the possible ones."""
    wanted = {kinds} if isinstance(kinds, str) else set(kinds)
    if not wanted <= set(allowed):
        unknown = ", ".join(sorted(map(str, wanted - set(allowed))))
        raise ValueError(f"{who}: unknown kinds {unknown}; choose some of {', '.join(allowed)}")
    return wanted


def _best(found: Iterable[Span]) -> list[Span]:
    """Of overlapping spans the one of the better kind, of one kind the longer; sorted by place.

    Spans of one kind rarely overlap, and a span overlaps few others, so a sweep with a short list of
    what was taken before is enough: spans are grouped where they touch, and each group is decided alone.
    """
    rank = {kind: place for place, kind in enumerate(KINDS)}
    chosen: list[Span] = []
    group: list[Span] = []
    end = -1
    for span in sorted(set(found), key=lambda s: (s.start, s.stop)):
        if span.start >= end:
            chosen += _decide(group, rank)
            group = []
        group.append(span)
        end = max(end, span.stop)
    return chosen + _decide(group, rank)


def _decide(group: list[Span], rank: dict[str, int]) -> list[Span]:
    """Settle one group of spans that overlap."""
    if len(group) < 2:
        return group
    taken: list[Span] = []
    for span in sorted(group, key=lambda s: (rank[s.kind], s.start - s.stop, s.start)):
        if all(span.stop <= other.start or other.stop <= span.start for other in taken):
            taken.append(span)
    return sorted(taken, key=lambda s: s.start)


class PersonalDataFilter:
    """Replaces personal data, or drops documents that hold it.

    Parameters
    ----------
    kinds : iterable of str, optional
        Some of the kinds of the style; all of them by default.
    action : str
        "redact" replaces every span, "drop" drops a document with any, "redact-or-drop" replaces
        fewer than `drop_from` spans and drops the document with as many or more.
    drop_from : int
        Dolma's 6 by default.
    style : str
        "checked", "dolma" or "fineweb": which rules find, and what is put in the place.

    Raises
    ------
    ValueError
        An argument is unknown, or `drop_from` is not positive.

    Notes
    -----
    FineWeb never drops; ``style="fineweb"`` goes with ``action="redact"``. Its replacements rotate within
    a document and start over with the next, so that the result does not depend on the documents before.
    `findings` counts kinds ("dropped" too); `examples` shows a masked excerpt, never the data themselves.
    """

    name = "personal_data"

    def __init__(
        self,
        kinds: Iterable[str] | None = None,
        action: str = "redact-or-drop",
        drop_from: int = 6,
        style: str = "checked",
    ) -> None:
        if style not in STYLES:
            raise ValueError(f"PersonalDataFilter: style is {style!r}; choose one of {', '.join(STYLES)}")
        if action not in ACTIONS:
            raise ValueError(f"PersonalDataFilter: action is {action!r}; choose one of {', '.join(ACTIONS)}")
        if drop_from < 1:
            raise ValueError(f"PersonalDataFilter: drop_from is {drop_from}; expected 1 or more")
        wanted = _known(
            STYLES[style] if kinds is None else kinds, STYLES[style], f"PersonalDataFilter of style {style}"
        )
        self.kinds = tuple(kind for kind in KINDS if kind in wanted)
        self.action, self.drop_from, self.style = action, drop_from, style

    def find(self, text: str) -> list[Span]:
        """The spans that this filter's style finds."""
        if self.style == "dolma":
            return dolma_spans(text, self.kinds)
        if self.style == "fineweb":
            return fineweb_spans(text, self.kinds)
        return find_personal_data(text, self.kinds)

    def __call__(self, text: str) -> Decision:
        """Replace or drop; see the class."""
        spans = self.find(text)
        if not spans:
            return keep(text)
        findings = dict(Counter(span.kind for span in spans))
        examples = {span.kind: _excerpt(text, span) for span in reversed(spans)}
        if self.action == "drop" or (self.action == "redact-or-drop" and len(spans) >= self.drop_from):
            return Decision(None, {**findings, "dropped": 1}, {**examples, "dropped": f"{len(spans)} spans"})
        return Decision(self._replaced(text, spans), findings, examples)

    def _replaced(self, text: str, spans: list[Span]) -> str:
        """The text with a placeholder, or a neutral address, for every span."""
        if self.style == "fineweb":
            values = fineweb_replacements(spans)
        else:
            values = [f"|||{span.kind}|||" for span in spans]
        parts, position = [], 0
        for span, value in zip(spans, values):
            parts += [text[position : span.start], value]
            position = span.stop
        return "".join([*parts, text[position:]])


def _excerpt(text: str, span: Span) -> str:
    """What stands around a span, with the span and all other digits and signs of addresses masked."""
    before, after = text[max(0, span.start - 30) : span.start], text[span.stop : span.stop + 20]
    masked = ["".join("*" if c.isdigit() or c in _ATS else c for c in part) for part in (before, after)]
    return f"{masked[0]}[{span.kind}]{masked[1]}"[:100]
