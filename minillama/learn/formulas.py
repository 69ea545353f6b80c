"""The book's formulas as text for a terminal: \\frac{a}{b} is a / b, e^{z_i} is e^(zᵢ), \\sqrt h is √h.

Knows what the book uses, no more: a test goes through all of its sections. A formula on lines of its own becomes
indented lines, one for each statement in it.
"""

from __future__ import annotations

import re

_SYMBOLS = {
    "partial": "∂", "int": "∫", "top": "ᵀ", "ell": "ℓ", "lvert": "|", "rvert": "|", "lfloor": "⌊", "rfloor": "⌋",
    "alpha": "α", "beta": "β", "chi": "χ", "delta": "δ", "Delta": "Δ", "eta": "η", "lambda": "λ", "mu": "μ", "nu": "ν",
    "omega": "ω", "pi": "π", "sigma": "σ", "tau": "τ", "theta": "θ", "varepsilon": "ε", "varphi": "φ",
    "left": "", "right": "", "bigl": "", "bigr": "", "Big": "",
    ",": " ", ";": " ", "!": "", "quad": "\n", "qquad": "\n", "\\": "\n", "{": "{", "}": "}",
}  # fmt: skip
_BETWEEN = {
    "cdot": "·", "times": "×", "odot": "⊙", "pm": "±", "le": "≤", "ge": "≥", "approx": "≈", "in": "∈", "cup": "∪",
    "cap": "∩", "leftarrow": "←", "dots": "…", "bmod": "mod",
}  # fmt: skip
_WORDS = {"log": "log", "cos": "cos", "sin": "sin", "max": "max", "min": "min", "sum": "Σ"}
_IN_BRACES = ("text", "operatorname", "mathit", "mathrm")
_UP = dict(zip("0123456789+−()nik", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱᵏ"))
_DOWN = dict(zip("0123456789+−=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ"))
_ENDS_A_FRACTION = {"", "}", ")", "]", "|", "=", "+", "-", ".", ",", "&", "\\cdot", "\\odot", "\\end", "\\\\",
                    "\\right", "\\bigr", "\\quad", "\\qquad", "\\;"}  # fmt: skip
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\s+|.", re.DOTALL)


def readable(text: str) -> str:
    """Markdown with its formulas, in $ and $$, as text.

    Raises
    ------
    ValueError
        When a formula has something that is not known here.
    """

    def on_lines(found: re.Match[str]) -> str:
        lines = [line.strip(" ,.") for line in _formula(found[1], "\n").split("\n")]
        return "\n\n" + "\n".join(f"    {line}" for line in lines if line) + "\n\n"

    text = re.sub(r"\s*\$\$(.+?)\$\$\s*", on_lines, text, flags=re.DOTALL)
    return re.sub(r"\$([^$]+)\$", lambda found: _formula(found[1], "  "), text)


def _formula(latex: str, gap: str) -> str:
    tokens = [" " if token.isspace() else token for token in _TOKEN.findall(latex.strip())]
    text = re.sub(" +", " ", _Reader(tokens).until("")).replace("\n", gap)
    text = re.sub(r" +([.,])(?=\s|$)", r"\1", text)
    return re.sub(r"(?<=[(|{]) (?=\S)| (?=[)}⌋])", "", text).strip()


class _Reader:
    """Reads tokens from the left."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens, self._at = tokens, 0

    def until(self, end: str) -> str:
        """Everything up to a token, or to the end."""
        parts: list[str] = []
        while self._at < len(self._tokens) and self._tokens[self._at] != end:
            parts.append(self._part(is_after_word=bool(parts) and parts[-1].rstrip() in _WORDS))
        self._at += 1
        return "".join(parts)

    def _peek(self) -> str:
        """The next token that is no space."""
        return next((token for token in self._tokens[self._at :] if token != " "), "")

    def _skip_spaces(self) -> None:
        while self._at < len(self._tokens) and self._tokens[self._at] == " ":
            self._at += 1

    def _argument(self) -> str:
        """What stands in braces, or the one thing that follows."""
        self._skip_spaces()
        return self._part()

    def _words(self) -> str:
        """What stands in braces, as it is."""
        end = self._tokens.index("}", self._at)
        text = "".join(self._tokens[self._at + 1 : end])
        self._at = end + 1
        return text

    def _part(self, is_after_word: bool = False) -> str:
        token = self._tokens[self._at]
        self._at += 1
        if token == "{":
            return self.until("}").strip()
        if token in "^_":
            return _shifted(token, self._argument().strip())
        if token == "&":
            return ", "
        if not token.startswith("\\"):
            return {"-": "−", "'": "′"}.get(token, token)
        return self._command(token[1:], is_after_word)

    def _command(self, name: str, is_after_word: bool) -> str:
        if name == "begin":
            return self._matrix()
        if name in ("frac", "tfrac"):
            above, below = _grouped(self._argument()), _grouped(self._argument())
            text = f"{above}/{below}" if len(above) + len(below) < 4 else f"{above} / {below}"
            return f"({text})" if is_after_word or self._peek() not in _ENDS_A_FRACTION else text
        if name == "sqrt":
            return f"√{_grouped(self._argument())}"
        if name == "hat":
            letter = self._argument()
            return f"{letter[0]}\u0302{letter[1:]}"
        if name in _IN_BRACES:
            return self._words()
        if name in _WORDS:
            self._skip_spaces()
            return _WORDS[name] if self._peek() in ("_", "(", "^") else f"{_WORDS[name]} "
        if name in _BETWEEN:
            return f" {_BETWEEN[name]} "
        if name not in _SYMBOLS:
            raise ValueError(f"there is no text for \\{name}")
        if name in ("partial", "lvert", "lfloor"):
            self._skip_spaces()
        return _SYMBOLS[name]

    def _matrix(self) -> str:
        self._words()
        rows = self.until("\\end").split("\n")
        self._words()
        cells = (re.sub(r"\s*,\s*", ", ", row.strip()) for row in rows)
        return f"[{', '.join(f'[{row}]' for row in cells)}]"


def _grouped(text: str) -> str:
    """The text as one thing: in brackets where it is several."""
    text = outside = text.strip()
    while (shorter := re.sub(r"\([^()]*\)", "", outside)) != outside:
        outside = shorter
    return f"({text})" if re.search(r"[\s+−/·]", outside) else text


def _shifted(way: str, text: str) -> str:
    """Above or below the line, in Unicode where it has all signs; words stay words."""
    if text in ("ᵀ", "′"):
        return text
    table = _UP if way == "^" else _DOWN
    is_word = text == "up" or (text.isalpha() and len(text) > 2)
    if not is_word and len(text) < 6 and all(sign in table for sign in text):
        return "".join(table[sign] for sign in text)
    return f"{way}{text}" if re.fullmatch(r"\w+|±|\([^()]*\)", text) else f"{way}({text})"
