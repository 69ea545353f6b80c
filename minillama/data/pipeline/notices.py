"""Notices of a filter run about languages: texts that a rule dropped because it cannot read them."""

from __future__ import annotations

from ..rules.languages import BOUND, ENGLISH, LANGUAGES, UNKNOWN, known_languages, off_for
from .settings import PipelineSettings
from .tally import Tally

_CALLED = {"mode": "the classifier of English texts"}


def language_notices(tally: Tally, settings: PipelineSettings) -> list[str]:
    """What to say about the languages of a run: rules that are off, rules that dropped most of what they saw.

    Returns
    -------
    list of str
        One sentence each; the same for the same tally.
    """
    found = []
    languages = known_languages(settings.languages)
    names = " and ".join(language.name for language in languages)
    for name in settings.in_order:
        off = [_CALLED.get(field, field) for field in off_for(name, languages) if field != "word_list"]
        if off:
            found.append(f"{name} in {names}: off is what means nothing there, {', '.join(off)}")
    for name, part in tally["filters"].items():
        found += _dropped(name, part, settings.languages or (ENGLISH,))
    return found


def _dropped(name: str, part: Tally, own: tuple[str, ...]) -> list[str]:
    """A sentence about a filter that dropped at least half of its documents for their language."""
    foreign = {code: n for code, n in part.get("languages", {}).items() if code not in own}
    least = part["documents"] / 2
    rules = {rule: part["rules"][rule]["in_dropped"] for rule in BOUND.get(name, {}) if rule in part["rules"]}
    if not rules or sum(foreign.values()) < least or max(rules.values()) < least:
        return []
    rule = max(rules, key=lambda rule: rules[rule])
    what = BOUND[name][rule]
    if rule == "min_stop_words":
        what = f"looks for {' and '.join(LANGUAGES[code].name for code in own)} stop words"
    dropped = f"{name} dropped {part['dropped']:,} of {part['documents']:,} documents"
    said = f"{dropped}, {rules[rule]:,} by {rule}, which {what}"
    told = dict(sorted(((code, n) for code, n in foreign.items() if code != UNKNOWN), key=lambda item: -item[1]))
    if 2 * sum(told.values()) < sum(foreign.values()):
        off = f"{rule} = false in the table [{name}] of --config switches it off"
        words = ', and stop_words = ["…"] there sets others' if rule == "min_stop_words" else ""
        return [f"{said}; in no language with stop words here (or no prose): {off}{words}"]
    listed = ", ".join(f"{LANGUAGES[code].name} {n:,}" for code, n in told.items())
    return [f"{said}; they look like {listed}: give --language {','.join(_advised(told, part, own))}"]


def _advised(told: dict[str, int], part: Tally, own: tuple[str, ...]) -> list[str]:
    """The codes to give: those of the texts that go with the commonest one, and one's own where some texts stay."""
    first = next(iter(told))
    codes = [code for code, n in told.items() if n * 10 >= told[first]]
    if part["dropped"] < part["documents"]:
        codes = [*own, *codes]
    return [code for code in codes if LANGUAGES[code].has_blanks == LANGUAGES[first].has_blanks]
