"""The rows of the test's table, and the table as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...evaluation.statistics.intervals import Interval, wilson
from .instructions import Trait
from .retention import Reply
from .scenes import Scene


@dataclass(frozen=True)
class Share:
    """`successes` of `n`, with a Wilson interval; one answer of a dialogue at most is counted in each."""

    successes: int
    n: int

    @classmethod
    def of(cls, outcomes: Iterable[bool]) -> Share:
        found = list(outcomes)
        return cls(sum(found), len(found))

    @property
    def interval(self) -> Interval:
        """95 %, by Wilson."""
        return wilson(self.successes, self.n)

    def __str__(self) -> str:
        if not self.n:
            return "–"
        low, high = self.interval
        return f"{100 * self.successes / self.n:.0f} [{100 * low:.0f}, {100 * high:.0f}] of {self.n}"


@dataclass(frozen=True)
class RetentionRow:
    """What was counted at a turn.

    Attributes
    ----------
    group : str
        Of the scenes.
    turn : int
    recall : Share
        Questions whose answer names the fact.
    style : Share
        Answers to questions that keep every style, where the instruction has one.
    style_between : Share
        The same of answers to other requests.
    added : Share
        Answers to questions that keep a style which nobody asked for, where the instruction has none.
    tokens, most_tokens : int
        Length of the dialogues up to their answers: mean and maximum.
    """

    group: str
    turn: int
    recall: Share
    style: Share
    style_between: Share
    added: Share
    tokens: int
    most_tokens: int


def retention_rows(
    scenes: Sequence[Scene], replies: Sequence[Reply], styles: Sequence[Trait] = ()
) -> list[RetentionRow]:
    """A row for each group and turn.

    Parameters
    ----------
    styles : sequence of Trait
        Those that training had: looked for in answers whose instruction has none.
    """
    by_id = {scene.id: scene for scene in scenes}
    rows = []
    for group in dict.fromkeys(scene.group for scene in scenes):
        of_group = [reply for reply in replies if by_id[reply.scene].group == group]
        for turn in sorted({reply.turn for reply in of_group}):
            rows.append(_row(group, turn, by_id, [reply for reply in of_group if reply.turn == turn], styles))
    return rows


def _row(
    group: str, turn: int, scenes: Mapping[str, Scene], replies: Sequence[Reply], styles: Sequence[Trait]
) -> RetentionRow:
    inst = {reply.scene: scenes[reply.scene].instruction for reply in replies}
    asked = [reply for reply in replies if reply.fact]
    between = [reply for reply in replies if not reply.fact]
    styled = lambda found: [reply for reply in found if inst[reply.scene].styles]  # noqa: E731
    plain = [reply for reply in asked if not inst[reply.scene].styles]
    return RetentionRow(
        group,
        turn,
        Share.of(any(f.kind == r.fact and f.check(r.answer) for f in inst[r.scene].facts) for r in asked),
        Share.of(inst[r.scene].kept_by(r.answer) for r in styled(asked)),
        Share.of(inst[r.scene].kept_by(r.answer) for r in styled(between)),
        Share.of(any(style.check(r.answer) for style in styles) for r in plain) if styles else Share(0, 0),
        round(sum(r.tokens for r in asked) / max(1, len(asked))),
        max((r.tokens for r in replies), default=0),
    )


def retention_table(arms: Mapping[str, Sequence[RetentionRow]], *, trained_length: int | None = None) -> str:
    """The rows of several models or ways as one table: percent of answers, Wilson intervals, and n.

    Parameters
    ----------
    trained_length : int, optional
        Tokens of the longest texts that the models were trained on; turns that go beyond it are marked.
    """
    lines = [
        "| | constraints | turn | recall | style | style between | style added | tokens (most) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    is_beyond = False
    for arm, rows in arms.items():
        for row in rows:
            beyond = trained_length is not None and row.most_tokens > trained_length
            is_beyond |= beyond
            shares = " | ".join(str(share) for share in (row.recall, row.style, row.style_between, row.added))
            tokens = f"{row.tokens} ({row.most_tokens}{'*' if beyond else ''})"
            lines.append(f"| {arm} | {row.group or 'all'} | {row.turn} | {shares} | {tokens} |")
    if is_beyond:
        lines += ["", f"\\* beyond the {trained_length} tokens that the model was trained on"]
    return "\n".join(lines) + "\n"
