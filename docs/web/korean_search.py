"""Search in English pages with Korean words: a word is found with and without the particle that hangs on it."""

from __future__ import annotations

import re

from sphinx.search.en import SearchEnglish

_HANGUL = re.compile(r"^[가-힣]+")
_PARTICLES = re.compile(
    r"(?<=[가-힣]{2})(으로부터|에서는|으로는|에게서|까지는|이라고|라고|으로|에서|에게|까지|부터|보다|처럼|마다|하고|이나|은|는|이|가|을|를|의|에|로|과|와|도|만|나)$"
)


class SearchEnglishAndKorean(SearchEnglish):
    """English, with Korean words by their stems as well."""

    def split(self, input: str) -> list[str]:
        """Words of a text; of a Korean one that ends in a particle both forms."""
        words = super().split(input)
        korean = [found[0] for word in words if (found := _HANGUL.match(word))]
        return [*words, *korean, *(_PARTICLES.sub("", word) for word in korean if _PARTICLES.search(word))]
