"""Languages that the rules can read: their stop words, and which rules of which filter are bound to one.

Gopher wants two different ones of eight English stop words in a text. What other languages need is what FineWeb2
(arXiv:2506.20920) does for each of its languages: their own most frequent function words instead. The lists here
are that short on purpose (a list of 600 words, as search engines leave out, lets everything pass); they were
chosen by hand and compared with those of stopwords-iso (MIT; stopwordsiso 0.7.1), which have all but 30 of the 500.

Chinese, Japanese, Thai, Lao, Khmer and Burmese put no blanks between words. Rules that count words between blanks mean
nothing there: with such a language they are off, and to ask for one by name is an error.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .words import Hashes, code_points, word_hash, words_of

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Gopher's, for English."""
ENGLISH = "en"
_LISTS = {
    "ar": ("Arabic", "من في على أن إلى التي عن هذا مع كان هذه الذي ما لا أو"),
    "bg": ("Bulgarian", "на и за да от се не че по това как ще към или"),
    "bn": ("Bengali", "এবং এই করে থেকে জন্য না ও তার একটি হয় করা"),
    "ca": ("Catalan", "de que la el els les una per amb és del com són"),
    "cs": ("Czech", "je se na že to ve pro ale jako od nebo jsou by"),
    "da": ("Danish", "og er det at til en på som af ikke med har den for"),
    "de": ("German", "der die und das ist von zu mit den nicht auf ein eine im sich"),
    "el": ("Greek", "και το να του της με για την που από είναι τα στο"),
    "en": ("English", " ".join(STOP_WORDS)),
    "es": ("Spanish", "de la que el en los las una por con para del es se"),
    "et": ("Estonian", "ja on ei et see kui ta oma või mis ka"),
    "fa": ("Persian", "و در به از که این را با است برای آن یک خود"),
    "fi": ("Finnish", "ja on ei että se hän joka myös kun mutta ovat oli tai"),
    "fr": ("French", "de la le et les des en un une du est que pour dans qui"),
    "he": ("Hebrew", "של את על לא הוא זה עם כל גם היא אם או אני"),
    "hi": ("Hindi", "के का की में है और से को पर यह हैं नहीं एक भी"),
    "hr": ("Croatian", "je se na da su za od koji kao ne to ili bi"),
    "hu": ("Hungarian", "az és hogy nem egy is ez meg volt csak de vagy mint"),
    "id": ("Indonesian", "yang dan di dari untuk dengan ini pada adalah dalam tidak itu ke"),
    "it": ("Italian", "di che la il un per in una sono con del della non gli"),
    "ko": ("Korean", "이 그 수 있는 있다 및 등 것 것은 것이 또는 그리고 더 하는 대한 위해 때 모든 한"),
    "lt": ("Lithuanian", "ir kad yra tai su iš bet kaip apie nuo ar jo buvo"),
    "lv": ("Latvian", "un ir ar no uz ka par kas bet vai tika pie"),
    "ms": ("Malay", "yang dan di untuk dengan ini pada adalah dalam tidak itu dari ke oleh"),
    "nl": ("Dutch", "de het een van en in is dat op te met voor niet zijn die"),
    "no": ("Norwegian", "og er det i å til en på som av ikke med har den for"),
    "pl": ("Polish", "w i na z się nie do to że jest jak od przez dla"),
    "pt": ("Portuguese", "de que o a e do da em um uma para com não os se"),
    "ro": ("Romanian", "de și în la a cu pe care este din nu că un o pentru"),
    "ru": ("Russian", "и в не на что с по как это но из для от его"),
    "sk": ("Slovak", "je sa na to vo že pre ale ako od alebo sú by"),
    "sl": ("Slovenian", "je in na se da za so ki pa tudi ne kot od ali"),
    "sv": ("Swedish", "och att det som en på är av för med den inte till har"),
    "tr": ("Turkish", "ve bir bu da de için ile çok gibi olarak ne daha kadar"),
    "uk": ("Ukrainian", "і в не на що з та як це для від його у до"),
    "ur": ("Urdu", "کے کی میں ہے اور سے کا کو پر یہ نے ہیں ایک"),
    "vi": ("Vietnamese", "và của là có trong được cho không các một những này với người đã"),
}
# Languages without blanks by their own letters: kana, Thai, Lao, Khmer, Burmese; Chinese by what has Han letters only.
_SCRIPTS = {
    "ja": ("Japanese", (0x3041, 0x30FF)),
    "km": ("Khmer", (0x1780, 0x17D3)),
    "lo": ("Lao", (0x0E81, 0x0EDF)),
    "my": ("Burmese", (0x1000, 0x109F)),
    "th": ("Thai", (0x0E01, 0x0E4E)),
    "zh": ("Chinese", (0x4E00, 0x9FFF)),
}
_SHORT_WORDS = ("ko", "vi")
"""Their words between blanks have three letters at the mean, Gopher's least."""
_LEAST_WORDS = 20  # a language is told from this many on
UNKNOWN = "unknown"


class Language(NamedTuple):
    """One language.

    Attributes
    ----------
    code, name : str
        ISO 639-1, and in English.
    stop_words : tuple of str
        Empty where words have no blanks between them.
    """

    code: str
    name: str
    stop_words: tuple[str, ...]

    @property
    def has_blanks(self) -> bool:
        """Whether blanks stand between words."""
        return bool(self.stop_words)


LANGUAGES = {code: Language(code, name, tuple(listed.split())) for code, (name, listed) in _LISTS.items()}
LANGUAGES |= {code: Language(code, name, ()) for code, (name, _) in _SCRIPTS.items()}

BOUND: dict[str, dict[str, str]] = {
    "gopher": {
        "min_stop_words": "looks for stop words",
        "min_words": "counts words between blanks",
        "max_words": "counts words between blanks",
        "min_mean_word_length": "measures words between blanks",
        "max_mean_word_length": "measures words between blanks",
        "max_hashes_per_word": "counts words between blanks",
        "max_ellipses_per_word": "counts words between blanks",
        "min_words_with_letter": "counts words between blanks",
    },
    "repetition": {
        f"max_{'top' if n <= 4 else 'duplicate'}_{n}_gram{'s' if n > 4 else ''}": "counts words between blanks"
        for n in range(2, 11)
    },
    "c4": {"min_line_words": "counts words between blanks", "min_sentences": "counts full stops"},
    "fineweb": {
        "max_newlines_per_word": "counts words between blanks",
        "min_terminal_lines": "looks for full stops",
        "max_short_lines": "measures lines in letters",
    },
    "harmful": {
        "mode": "uses a classifier of English texts",
        "harmful_document": "uses a classifier of English texts",
        "harmful_sentence": "uses a classifier of English texts",
        "word_list": "looks for words between blanks",
    },
}
"""For filters, their rules (fields and findings) that hold for some languages only, and what each does."""
_WITHOUT_STOPS = ("th", "lo")  # a blank ends their sentences


def known_languages(codes: tuple[str, ...]) -> tuple[Language, ...]:
    """The languages of some codes: de, also written DE or German; of pt-BR the language pt.

    Raises
    ------
    ValueError
        A code is unknown, or languages with and without blanks are mixed.
    """
    by_name = {language.name.lower(): code for code, language in LANGUAGES.items()}
    plain = [re.split("[-_]", code.lower())[0] for code in codes]
    chosen = [by_name.get(code, code) for code in plain]
    unknown = [given for given, code in zip(codes, chosen) if code not in LANGUAGES]
    if unknown:
        listed = ", ".join(f"{language.code} {language.name}" for _, language in sorted(LANGUAGES.items()))
        raise ValueError(f"language {unknown[0]!r} has no stop words here; known: {listed}")
    found = tuple(LANGUAGES[code] for code in dict.fromkeys(chosen))
    if len({language.has_blanks for language in found}) > 1:
        apart = ", ".join(language.name for language in found if not language.has_blanks)
        raise ValueError(f"{apart} has no blanks between words: filter it in a run of its own")
    return found


def defaults_for(rule: str, languages: tuple[Language, ...], given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a filter that differ from its published ones for these languages.

    Parameters
    ----------
    given : dict
        What the user sets for the filter; a rule that means nothing in the languages must not be on in it.

    Raises
    ------
    ValueError
        For such a rule, by name.
    """
    if not languages or languages == (LANGUAGES[ENGLISH],):
        return {}
    found: dict[str, Any] = dict.fromkeys(off_for(rule, languages), False)
    if "mode" in found:
        found["mode"] = "off"
    for field in found:
        if field in given and given[field] not in (False, "off"):
            names = " and ".join(language.name for language in languages)
            raise ValueError(f"[{rule}] {field} {BOUND[rule][field]} and means nothing in {names}: leave it out")
    found.pop("word_list", None)
    if rule == "gopher" and languages[0].has_blanks:
        found["stop_words"] = tuple(dict.fromkeys(word for language in languages for word in language.stop_words))
        if any(language.code in _SHORT_WORDS for language in languages):
            found["min_mean_word_length"] = 2
    return found


def off_for(rule: str, languages: tuple[Language, ...]) -> tuple[str, ...]:
    """The rules of a filter that mean nothing in these languages."""
    if not languages:
        return ()
    blanks, codes = languages[0].has_blanks, [language.code for language in languages]
    off = []
    for field, what in BOUND.get(rule, {}).items():
        of_words = "blanks" in what or field == "min_stop_words"
        of_stops = "full stops" in what and any(code in _WITHOUT_STOPS for code in codes)
        of_english = field == "mode" and codes != [ENGLISH]
        dense = field == "max_short_lines" and any(code in ("zh", "ja") for code in codes)
        if (of_words and not blanks) or of_stops or of_english or dense:
            off.append(field)
    return tuple(off)


def guessed_language(text: str) -> str | None:
    """The code of the language whose stop words a text has most of, `UNKNOWN`, or None for a text of a few words.

    Three different stop words at least, or half of the letters of a script without blanks.
    """
    points = code_points(text)
    letters = max(1, sum(character.isalpha() for character in text[:2000]))
    shares = {
        code: int(np.count_nonzero((points[:2000] >= first) & (points[:2000] <= last))) / letters
        for code, (_, (first, last)) in _SCRIPTS.items()
    }
    if shares["ja"] > 0.1 and shares["ja"] + shares["zh"] > 0.5:
        return "ja"
    script = max(shares, key=lambda code: shares[code])
    if shares[script] > 0.5:
        return script
    words = words_of(text).hashes
    if len(words) < _LEAST_WORDS:
        return None
    codes, stops, owners = _all_stop_words()
    unique, times = np.unique(words, return_counts=True)
    at = np.minimum(np.searchsorted(unique, stops), len(unique) - 1)
    hit = unique[at] == stops
    present = np.bincount(owners[hit], minlength=len(codes))
    counts = np.bincount(owners[hit], weights=times[at[hit]], minlength=len(codes))
    best = int(np.lexsort((-np.arange(len(codes)), counts, present))[-1])
    return codes[best] if present[best] >= 3 else UNKNOWN


@cache
def _all_stop_words() -> tuple[list[str], Hashes, npt.NDArray[np.int64]]:
    """The codes, the hashes of all stop words, (n,) uint64, and the place of each one's code, (n,) int64."""
    codes = [code for code, language in LANGUAGES.items() if language.has_blanks]
    owned = [(word_hash(word), place) for place, code in enumerate(codes) for word in LANGUAGES[code].stop_words]
    hashes, owners = zip(*owned)
    return codes, np.array(hashes, dtype=np.uint64), np.array(owners, dtype=np.int64)
