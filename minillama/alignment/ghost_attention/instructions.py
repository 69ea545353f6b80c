"""Instructions that are meant to hold for a whole dialogue, made of traits that a program can check.

    You enjoy surfing. You act as Oscar Wilde. Always end your answers with Yay!          in full sentences
    Hobby: surfing. Figure: Oscar Wilde. End: Yay!                                         the same, tersely

An instruction is a random combination of traits. Answers are sampled with the sentences; what is trained on has the
terse form half of the time (LLaMA 2 section 3.3: "when constructing the final system message"). A *fact* is asked for:
the answer to its question names it. A *style* holds in every answer. What the paper has people judge ("does it still
act as Oscar Wilde?") is here what a program sees in an answer, and nothing more: the words of a fact, the last words of
an answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Check = Callable[[str], bool]
"""Whether an answer has a property."""


@dataclass(frozen=True)
class Trait:
    """One thing that an instruction sets: a fact, which has questions, or a style, which every answer keeps.

    Attributes
    ----------
    kind : str
        "hobby", "figure", "ending": an instruction has one of each kind at most.
    value : str
        "surfing"; with the kind it names the trait.
    sentence, terse : str
        How it is said: "You enjoy surfing.", "Hobby: surfing."
    check : callable
        Of a fact: whether an answer to one of its questions names it. Of a style: whether an answer keeps it.
    questions : tuple of str
        Empty for a style.
    """

    kind: str
    value: str
    sentence: str
    terse: str
    check: Check
    questions: tuple[str, ...] = ()

    @property
    def is_style(self) -> bool:
        return not self.questions


@dataclass(frozen=True)
class Instruction:
    """Traits together, in the order in which they are said; `terse` says how the system message has them."""

    traits: tuple[Trait, ...]
    terse: bool = False

    @property
    def sentences(self) -> str:
        """What a model follows that was never trained on terse ones."""
        return " ".join(trait.sentence for trait in self.traits)

    @property
    def text(self) -> str:
        """The system message."""
        return " ".join(trait.terse for trait in self.traits) if self.terse else self.sentences

    @property
    def facts(self) -> tuple[Trait, ...]:
        return tuple(trait for trait in self.traits if not trait.is_style)

    @property
    def styles(self) -> tuple[Trait, ...]:
        return tuple(trait for trait in self.traits if trait.is_style)

    def kept_by(self, answer: str) -> bool:
        """Whether an answer keeps every style; one without styles is kept by all."""
        return all(style.check(answer) for style in self.styles)


# --- checks ------------------------------------------------------------------------------


def names(value: str) -> Check:
    """The answer has these words, in upper or lower case, as whole words."""
    pattern = re.compile(rf"(?<!\w){re.escape(value)}(?!\w)", re.IGNORECASE)
    return lambda answer: pattern.search(answer) is not None


def ends_with(text: str) -> Check:
    """The answer ends with exactly this text, and has something before it."""
    return lambda answer: answer.rstrip().endswith(text) and len(answer.strip()) > len(text)


def starts_with(text: str) -> Check:
    """The answer begins with exactly this text, and has something after it."""
    return lambda answer: answer.lstrip().startswith(text) and len(answer.strip()) > len(text)


# --- the paper's kinds -------------------------------------------------------------------


def hobby(value: str) -> Trait:
    """ "You enjoy …"."""
    questions = ("What do you enjoy doing?", "What is your hobby?", "How do you like to spend your free time?")
    return Trait("hobby", value, f"You enjoy {value}.", f"Hobby: {value}.", names(value), questions)


def figure(value: str) -> Trait:
    """ "Always act as …": asked who it is, the answer has the figure's last name."""
    questions = ("Who are you?", "What is your name?", "Please introduce yourself.")
    check = names(value.split()[-1])
    return Trait("figure", value, f"Always act as {value}.", f"Figure: {value}.", check, questions)


def ending(value: str) -> Trait:
    """Every answer ends with a word: a style that a program sees."""
    return Trait("ending", value, f"Always end your answers with {value}", f"End: {value}", ends_with(value))


# --- random combinations -----------------------------------------------------------------

Pools = Mapping[str, Sequence[Trait]]
"""Traits by their kind, in the order in which an instruction says them."""


@dataclass(frozen=True)
class Mixture:
    """How traits are combined.

    Attributes
    ----------
    fact_share : float
        How likely each kind of fact is in an instruction.
    style_share : float
        How likely there is a style, of one kind. Where most instructions have one, a model comes to add some style to
        every answer: half of them are without.
    terse_share : float
        The paper rewrites "half of the time".
    """

    fact_share: float = 0.7
    style_share: float = 0.5
    terse_share: float = 0.5

    def draw(self, pools: Pools, rng: np.random.Generator) -> Instruction:
        """An instruction with one trait at least.

        Raises
        ------
        ValueError
            When the pools hold no trait, or the shares allow none.
        """
        of_facts = [kind for kind, pool in pools.items() if pool and not pool[0].is_style]
        of_styles = [kind for kind, pool in pools.items() if pool and pool[0].is_style]
        if not (of_facts and self.fact_share > 0) and not (of_styles and self.style_share > 0):
            raise ValueError(
                "no instruction can be drawn: give pools of traits, and a share above 0 to facts or styles"
            )
        chosen: set[str] = set()
        while not chosen:
            chosen = {kind for kind in of_facts if rng.random() < self.fact_share}
            if of_styles and rng.random() < self.style_share:
                chosen.add(of_styles[int(rng.integers(len(of_styles)))])
        traits = [pools[kind][int(rng.integers(len(pools[kind])))] for kind in pools if kind in chosen]
        return Instruction(tuple(traits), bool(rng.random() < self.terse_share))


def split_pools(pools: Pools, held_out: float, seed: int) -> tuple[Pools, Pools]:
    """Traits to train with and, of every kind, a share that no training sees: constraints to be tested as unseen."""
    seen: dict[str, Sequence[Trait]] = {}
    unseen: dict[str, Sequence[Trait]] = {}
    for n, (kind, pool) in enumerate(pools.items()):
        order = np.random.default_rng([seed, n]).permutation(len(pool))
        cut = round(held_out * len(pool))
        unseen[kind] = [pool[i] for i in sorted(order[:cut])]
        seen[kind] = [pool[i] for i in sorted(order[cut:])]
    return seen, unseen
