"""Search in English pages with Korean words: a word is found with and without the particle that hangs on it."""

from __future__ import annotations

import json
import re

from sphinx.search.en import SearchEnglish

_HANGUL = re.compile(r"^[가-힣]+")
_PARTICLES = (
    r"(?<=[가-힣]{2}|[A-Za-z0-9]{2})"
    "(으로부터|에서는|으로는|에게서|까지는|이라고|라고|으로|에서|에게|까지|부터|보다|처럼|마다|하고|이나"
    "|은|는|이|가|을|를|의|에|로|과|와|도|만|나)$"
)
# What a reader types loses its particle, too: pages hold the stem of every word that has one. The first expression is
# Sphinx's own.
_SPLITTER = f"""
var splitQuery = (query) =>
  query
    .split(/[^\\p{{Letter}}\\p{{Number}}_\\p{{Emoji_Presentation}}]+/gu)
    .filter((term) => term)
    .map((term) => term.replace(new RegExp({json.dumps(_PARTICLES)}, "u"), ""));
"""


class SearchEnglishAndKorean(SearchEnglish):
    """English, with Korean words by their stems as well."""

    js_splitter_code = _SPLITTER

    def split(self, input: str) -> list[str]:
        """Words of a text; of one that ends in a particle ("RoPE는", too) both forms."""
        words = super().split(input)
        words += [found[0] for word in words if (found := _HANGUL.match(word))]
        return [*words, *(stem for word in words if (stem := re.sub(_PARTICLES, "", word)) != word)]
