"""Judges that are programs: rules, anything that scores a dialogue, a model that is asked.

A judge has a `name` and `compare(dialogue, first, second)`: above 0 where the first answer is better, below where the
second is, 0 for a tie. How much means something within one judge only.

    Rule             a function of two answers, or of the dialogue and two answers
    ScorerJudge      anything with score(dialogue), higher is better: reward models, classifiers, `LogLikelihood`
    AskedJudge       a chat model is shown both answers and asked which is better (as LLMBar's "vanilla" prompt does)

A person is no `Judge`: rating.py asks persons.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..common.dialogue import Dialogue, Scorer

if TYPE_CHECKING:
    from ...llm import LLM


class Judge(Protocol):
    """Anything that says which of two answers is better."""

    name: str

    def compare(self, dialogue: Dialogue, first: str, second: str) -> float:
        """Above 0: the first is better; below 0: the second; 0: a tie.

        Raises
        ------
        ValueError
            When it cannot judge these two: the vote then says why, and counts for nobody.
        """
        ...


def number_of(value: Any, what: str) -> float:
    """A finite number, or a ValueError that says what a reader's own judge gave instead."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"the {what} is {value!r:.60}, no number") from None
    if not math.isfinite(found):
        raise ValueError(f"the {what} is {found}")
    return found


def verdict_of(value: Any) -> float:
    """As `number_of`. Yes and no are none: a no would count as a tie, where it means that the second is better."""
    if isinstance(value, bool | np.bool_):
        raise ValueError(f"the verdict is {value}; expected a number above 0, below 0, or 0 for a tie")
    return number_of(value, "verdict")


class Rule:
    """A judge made of a function.

    Parameters
    ----------
    function : callable
        (dialogue, first, second) -> number, as `Judge.compare`.
    name : str
    """

    def __init__(self, function: Callable[[Dialogue, str, str], float], name: str) -> None:
        self._function, self.name = function, name

    def compare(self, dialogue: Dialogue, first: str, second: str) -> float:
        return verdict_of(self._function(dialogue, first, second))


class ScorerJudge:
    """A judge made of a scorer: the answer with the higher score is better.

    Each answer is scored once, whatever it is compared with.

    Parameters
    ----------
    scorer : Scorer
    name : str
    tie_within : float
        Scores that differ by no more are a tie.
    """

    def __init__(self, scorer: Scorer, name: str, tie_within: float = 0.0) -> None:
        if not (math.isfinite(tie_within) and tie_within >= 0):
            raise ValueError(f"tie_within should be 0 or more, got {tie_within}")
        self._scorer, self.name, self._tie_within = scorer, name, tie_within
        self._known: dict[tuple[Any, ...], float] = {}

    def compare(self, dialogue: Dialogue, first: str, second: str) -> float:
        difference = self._score(dialogue, first) - self._score(dialogue, second)
        return 0.0 if abs(difference) <= self._tie_within else difference

    def _score(self, dialogue: Dialogue, answer: str) -> float:
        whole = [*dialogue, {"role": "assistant", "content": answer}]
        key = tuple((message["role"], message["content"]) for message in whole)
        if key not in self._known:
            self._known[key] = number_of(self._scorer.score(whole), "score of an answer")
        return self._known[key]


class WordRule:
    """A scorer by words: each of `good` in the answer adds 1, each of `bad` takes 1 away.

    Words are found as whole words, in either case; those of a phrase with any white space between them.
    """

    def __init__(self, good: Iterable[str] = (), bad: Iterable[str] = ()) -> None:
        self._good, self._bad = _any_word(good), _any_word(bad)

    def score(self, dialogue: Dialogue) -> float:
        answer = dialogue[-1]["content"]
        return float(len(self._good.findall(answer)) - len(self._bad.findall(answer)))


class LogLikelihood:
    """A scorer that needs no training: the mean log p of the answer's tokens under a model, after the dialogue.

    The mean, since the sum favours whatever is shorter. It says how expected an answer is, not how good: with
    SmolLM2-135M-Instruct it is right on 42 % of LLMBar's pairs, below chance. With a chat template the dialogue is
    written by it, without one in hh-rlhf's layout. The answer's end is not part of it.

    Parameters
    ----------
    llm : LLM
    """

    def __init__(self, llm: LLM) -> None:
        self._llm, self._context, self._session = llm, [-1], llm.session()

    def score(self, dialogue: Dialogue) -> float:
        context, answer = self._encoded(dialogue)
        if context != self._context:  # another cache could cut the feed elsewhere, and change the last digits
            self._context, self._session = context, self._llm.session()
        return float(self._llm.logprobs(context, answer, session=self._session).mean())

    def _encoded(self, dialogue: Dialogue) -> tuple[list[int], list[int]]:
        """The ids of the dialogue up to the answer, and those of the answer."""
        llm, before = self._llm, list(dialogue[:-1])
        if not dialogue[-1]["content"].strip():
            raise ValueError("the answer is empty: no token of it has a probability")
        if _has_template(llm):
            chat = llm.chat_template()
            context = chat.encode(before, llm.tokenizer)
            whole = chat.encode(list(dialogue), llm.tokenizer, continue_final_message=True)
        else:
            context = llm.encode_prompt(hh_layout(before) + "\n\nAssistant:")
            whole = llm.encode_prompt(hh_layout(dialogue))
        answer = whole[len(context) :]
        if not answer:
            raise ValueError("the answer leaves no token of its own after the dialogue")
        return context, answer


class AskedJudge:
    """A chat model is asked which of two answers is better; its verdict is log p("(a)") - log p("(b)").

    The wording follows the plain prompt of LLMBar (Zeng et al. 2023, arXiv:2310.07641, appendix). A small model
    mostly answers by position: compare in both orders.
    """

    INSTRUCTION = (
        "You are a helpful assistant in evaluating the quality of the outputs for a given instruction. Your goal is "
        "to select the best output for the given instruction. Say Output (a) or Output (b), and nothing else."
    )

    def __init__(self, llm: LLM, name: str) -> None:
        self._llm, self.name = llm, name

    def compare(self, dialogue: Dialogue, first: str, second: str) -> float:
        llm, chat = self._llm, self._llm.chat_template()
        messages = [
            {"role": "system", "content": self.INSTRUCTION},
            {"role": "user", "content": self._question(dialogue, first, second)},
        ]
        context = chat.encode(messages, llm.tokenizer)
        session = llm.session()
        verdicts = [
            chat.encode([*messages, {"role": "assistant", "content": said}], llm.tokenizer, continue_final_message=True)
            for said in ("Output (a)", "Output (b)")
        ]
        a, b = (llm.logprobs(context, ids[len(context) :], session=session).sum() for ids in verdicts)
        return float(a - b)

    @staticmethod
    def _question(dialogue: Dialogue, first: str, second: str) -> str:
        asked = dialogue[-1]["content"] if len(dialogue) == 1 else hh_layout(dialogue).strip()
        return (
            f"# Instruction:\n{asked}\n\n# Output (a):\n{first}\n\n# Output (b):\n{second}\n\n"
            "# Which is better, Output (a) or Output (b)?"
        )


def longer_answer(dialogue: Dialogue, first: str, second: str) -> float:
    """The rule that every other judge should beat: more characters are better."""
    return float(len(first) - len(second))


def hh_layout(dialogue: Dialogue) -> str:
    """A dialogue as hh-rlhf writes it; a system message stands before it."""
    names = {"user": "\n\nHuman: ", "assistant": "\n\nAssistant: ", "system": ""}
    return "".join(names[message["role"]] + message["content"] for message in dialogue)


def _has_template(llm: LLM) -> bool:
    return llm.tokenizer.chat_template is not None


def _any_word(words: Iterable[str]) -> re.Pattern[str]:
    found: Sequence[str] = [r"\s+".join(map(re.escape, word.split())) for word in words]
    return re.compile(rf"(?<!\w)(?:{'|'.join(found)})(?!\w)" if found else r"(?!)", re.IGNORECASE)
