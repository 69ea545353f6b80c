"""A person rates in the terminal: one screen a pair, a key a verdict; or lines over a plain pipe.

The screen fits 80 × 24: the text scrolls between a line about progress and four lines of keys. Where there is no
terminal that can be drawn on (a pipe, TERM=dumb) the same is written line by line, and a verdict is a line.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from ..common.output import write
from ..common.streams import is_terminal

if TYPE_CHECKING:
    from ...evaluation.preference.rating import Question, Rating

_ROLES = {"user": "User", "assistant": "Assistant", "system": "System message"}


def rate_in_terminal(rating: Rating) -> None:
    """Ask until all pairs are rated or the person stops; every vote is kept at once."""
    kind = os.environ.get("TERM", "" if os.name == "nt" else "dumb").lower()
    if is_terminal(sys.stdin) and is_terminal(sys.stdout) and kind not in ("dumb", "unknown"):
        _Screen(rating).run()
    else:
        _rate_by_lines(rating)


def visible(text: str) -> str:
    """A text whose control characters show as signs: an answer must not move the cursor or colour the screen."""
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    return "".join(
        c if c == "\n" or not (ord(c) < 32 or 127 <= ord(c) < 160) else chr(0x2400 + ord(c)) if ord(c) < 32 else "�"
        for c in text
    )


def parts_of(question: Question) -> list[tuple[str, str]]:
    """Headings and texts: the dialogue, then both responses."""
    said = [(_ROLES[message["role"]], visible(message["content"])) for message in question.dialogue]
    return [*said, ("Response A", visible(question.a)), ("Response B", visible(question.b))]


def _rate_by_lines(rating: Rating) -> None:
    from ...evaluation.preference.rating import QUESTION

    labels = "\n".join(f"  {n} {label}" for n, label in enumerate(rating.scale.values(), 1))
    marks = ", with x behind it where A is unsafe, y where B is" if rating.asks_safety else ""
    write(f"{QUESTION}\n{labels}\nu undo, s later, q stop; a number is kept at once{marks}\n")
    question = rating.next()
    while question is not None:
        write(f"\n{'─' * 40}\n{question.done} of {question.total} rated\n")
        for heading, text in parts_of(question):
            write(f"\n── {heading}\n{text}\n")
        try:
            question = _after_line(rating, question)
        except KeyboardInterrupt:  # as q: what was said is kept
            question = None
            write("\n")
    write("" if rating.done < rating.total else "All pairs are rated. Thank you.\n")


def _after_line(rating: Rating, question: Question) -> Question | None:
    """Read lines until one of them means something; what comes next, None to stop."""
    while True:
        write(f"\n1-{len(rating.scale)}, u, s or q: ")
        line = sys.stdin.readline()
        said = line.strip().lower()
        if not line or said == "q":
            write("\n")
            return None
        if said == "u":
            if (earlier := rating.undo()) is not None:
                return earlier
            write("there is no vote to take back\n")
        elif said == "s":
            rating.skip(question.id)
            return rating.next()
        elif _is_verdict(said, rating):
            vote(rating, question, int(said[0]), ("x" in said, "y" in said))
            return rating.next()
        else:
            write(f"expected a number from 1 to {len(rating.scale)}, u, s or q, got {said[:40]!r}\n")


def _is_verdict(said: str, rating: Rating) -> bool:
    marks = set("xy") if rating.asks_safety else set()
    return said[:1] in _keys_of(rating) and set(said[1:].replace(" ", "")) <= marks


def _keys_of(rating: Rating) -> tuple[str, ...]:
    """A key for each thing that may be said."""
    return tuple(str(n) for n in range(1, len(rating.scale) + 1))


def _short(rating: Rating) -> list[str]:
    """What may be said, in few words: a line holds several."""
    return [label.replace(" is ", " ").replace("slightly better", "slightly") for label in rating.scale.values()]


def vote(rating: Rating, question: Question, key: int, unsafe: tuple[bool, bool]) -> None:
    """Keep the verdict of a key, from 1 on."""
    rating.vote(question.id, list(rating.scale)[key - 1], unsafe if rating.asks_safety else None)


class _Screen:
    """One pair on the whole screen."""

    def __init__(self, rating: Rating) -> None:
        self.rating = rating
        self.question = rating.next()
        self.message = ""
        self._start_pair()

    def run(self) -> None:
        from prompt_toolkit.application import Application
        from prompt_toolkit.layout import Layout, Window
        from prompt_toolkit.layout.controls import FormattedTextControl
        from prompt_toolkit.output import create_output

        output: Any = create_output(sys.stdout)
        output.enable_cpr = False  # a terminal that does not say where its cursor is would be warned about
        control = FormattedTextControl(self._fragments, focusable=True, show_cursor=False)
        application: Application[None] = Application(
            layout=Layout(Window(control)), key_bindings=self._keys(), full_screen=True, output=output
        )
        self._size = output.get_size
        application.run()

    def _start_pair(self) -> None:
        self.scroll, self.unsafe = 0, [False, False]

    def _go_on(self, question: Question | None, message: str = "") -> None:
        self.question, self.message = question, message
        self._start_pair()

    def _lines(self, width: int) -> tuple[list[tuple[str, str]], dict[str, int]]:
        """Lines as (style, text) no wider than the screen, and where headings stand."""
        places: dict[str, int] = {}
        lines: list[tuple[str, str]] = []
        if self.question is None:
            return [("bold", "All pairs are rated. Thank you.")], {}
        for heading, text in parts_of(self.question):
            places[heading] = len(lines)
            lines.append(("bold reverse", f" {heading} "))
            lines += [("", piece) for line in text.split("\n") for piece in _wrapped(line, width)]
            lines.append(("", ""))
        return lines, places

    def _fragments(self) -> Any:
        width, (lines, _), foot = self._width(), self._lines(self._width()), self._footer()
        room = self._room()
        self.scroll = max(0, min(self.scroll, len(lines) - room))
        shown = lines[self.scroll : self.scroll + room]
        shown += [("", "")] * (room - len(shown))
        below = len(lines) - self.scroll - room
        more = f" · {below} more lines below (space)" if below > 0 else ""
        head = _wrapped(f"{self.rating.done} of {self.rating.total} rated · {self.rating.log.rater}{more}", width)[0]
        text = [("bold", head), *shown, *foot]
        return [(style, f"{line}\n") for style, line in text[:-1]] + text[-1:]

    def _width(self) -> int:
        return max(self._size().columns - 1, 20)

    def _room(self) -> int:
        """Lines that the text may take."""
        return max(self._size().rows - 1 - len(self._footer()), 3)

    def _footer(self) -> list[tuple[str, str]]:
        from ...evaluation.preference.rating import QUESTION

        keys = [f"{n} {label}" for n, label in enumerate(_short(self.rating), 1)]
        marks = ""
        if self.rating.asks_safety:
            a, b = ("[x]" if unsafe else "[ ]" for unsafe in self.unsafe)
            marks = f"  x {a} A unsafe  y {b} B unsafe"
        lines = [
            ("bold", QUESTION),
            ("", "  ".join(keys[:4])),
            ("", "  ".join(keys[4:]) + marks),
            ("", "↑ ↓ space PgUp scroll · a b to a response · u undo · s later · q stop"),
            ("bold", self.message),
        ]
        return [(style, piece) for style, line in lines for piece in _wrapped(line, self._width())]

    def _keys(self) -> Any:
        from prompt_toolkit.key_binding import KeyBindings

        keys = KeyBindings()
        page = lambda: max(self._room() - 1, 1)  # noqa: E731
        moves = {"up": lambda: -1, "down": lambda: 1, "pageup": lambda: -page(), "pagedown": page, " ": page}
        for key, move in moves.items():
            keys.add(key)(lambda event, move=move: self._move(move()))
        for number in _keys_of(self.rating):
            keys.add(number)(lambda event, number=number: self._vote(int(number)))
        for name, place in (("a", "Response A"), ("b", "Response B")):
            keys.add(name)(lambda event, place=place: self._jump(place))
        for name, side in (("x", 0), ("y", 1)):
            keys.add(name)(lambda event, side=side: self._mark(side))
        keys.add("home")(lambda event: self._move(-(10**9)))
        keys.add("u")(lambda event: self._undo())
        keys.add("s")(lambda event: self._skip())
        for name in ("q", "c-c", "c-d", "<sigint>"):
            keys.add(name)(lambda event: event.app.exit())
        return keys

    def _move(self, lines: int) -> None:
        self.scroll = max(0, self.scroll + lines)

    def _jump(self, heading: str) -> None:
        self.scroll = self._lines(self._width())[1].get(heading, 0)

    def _mark(self, side: int) -> None:
        if self.rating.asks_safety:
            self.unsafe[side] = not self.unsafe[side]

    def _vote(self, key: int) -> None:
        if self.question is None:
            return
        try:
            vote(self.rating, self.question, key, (self.unsafe[0], self.unsafe[1]))
        except OSError as error:
            self.message = f"the vote cannot be kept: {error.strerror}"
            return
        self._go_on(self.rating.next(), f"kept: {_short(self.rating)[key - 1]}")

    def _undo(self) -> None:
        earlier = self.rating.undo()
        if earlier is None:
            self.message = "there is no vote to take back"
        else:
            self._go_on(earlier, "the last vote is taken back")

    def _skip(self) -> None:
        if self.question is not None:
            self.rating.skip(self.question.id)
            self._go_on(self.rating.next())


def _wrapped(line: str, width: int) -> list[str]:
    """A line in pieces no wider than `width` columns; a Chinese character takes two."""
    from rich.console import Console
    from rich.text import Text

    return [piece.plain.rstrip() for piece in Text(line).wrap(Console(width=width), width)] if line else [""]
