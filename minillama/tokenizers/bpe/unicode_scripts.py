"""Scripts of Unicode, asked for one character at a time: Latin, Cyrillic, Han …"""

from __future__ import annotations

from functools import cache
from typing import Any

# All but Common (punctuation, digits, emoji), which is what remains.
_NAMES = """
Adlam Ahom Anatolianhieroglyphs Arabic Armenian Avestan Balinese Bamum Bassavah Batak Bengali Beriaerfe
Bhaiksuki Bopomofo Brahmi Braille Buginese Buhid Canadianaboriginal Carian Caucasianalbanian Chakma Cham
Cherokee Chorasmian Coptic Cuneiform Cypriot Cyprominoan Cyrillic Deseret Devanagari Divesakuru Dogra Duployan
Egyptianhieroglyphs Elbasan Elymaic Ethiopic Garay Georgian Glagolitic Gothic Grantha Greek Gujarati
Gunjalagondi Gurmukhi Gurungkhema Han Hangul Hanifirohingya Hanunoo Hatran Hebrew Hiragana Imperialaramaic
Inherited Inscriptionalpahlavi Inscriptionalparthian Javanese Jurchen Kaithi Kannada Katakana Kawi Kayahli
Kharoshthi Khitansmallscript Khmer Khojki Khudawadi Kiratrai Lao Latin Lepcha Limbu Lineara Linearb Lisu Lycian
Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaramgondi Medefaidrin Meeteimayek Mendekikakui
Meroiticcursive Meroitichieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean Nagmundari Nandinagari
Newa Newtailue Nko Nushu Nyiakengpuachuehmong Ogham Olchiki Oldhungarian Olditalic Oldnortharabian Oldpermic
Oldpersian Oldsogdian Oldsoutharabian Oldturkic Olduyghur Olonal Oriya Osage Osmanya Pahawhhmong Palmyrene
Paucinhau Phagspa Phoenician Protocuneiform Psalterpahlavi Rejang Runic Samaritan Saurashtra Seal Sharada
Shavian Siddham Sidetic Signwriting Sinhala Sogdian Sorasompeng Soyombo Sundanese Sunuwar Sylotinagri Syriac
Tagalog Tagbanwa Taile Taitham Taiviet Taiyo Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh
Tirhuta Todhri Tolongsiki Toto Tulutigalari Ugaritic Vai Vithkuqi Wancho Warangciti Yezidi Yi Zanabazarsquare
"""


@cache
def script_of(character: str) -> str:
    """The script of a character by the tables of the `regex` package; "Common" when it has none of its own."""
    found = _pattern().match(character)
    return "Common" if found is None else str(found.lastgroup)


@cache
def _pattern() -> Any:
    """One group for each script that the installed tables know."""
    import regex

    groups = []
    for script in _NAMES.split():
        try:
            regex.compile(rf"\p{{Script={script}}}")
        except regex.error:  # a script that joined Unicode after these tables
            continue
        groups.append(rf"(?P<{script}>\p{{Script={script}}})")
    return regex.compile("|".join(groups))
