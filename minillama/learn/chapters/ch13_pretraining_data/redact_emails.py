"""E-mail addresses out of a text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ...exercises.exercise import Function, exercise
from .inputs import NOUNS, pick


def make_emails(rng: np.random.Generator, sentences: int) -> tuple[Any, ...]:
    def name() -> str:
        return pick(rng, NOUNS, 1)[0]

    kinds: tuple[Callable[[], str], ...] = (
        lambda: f"Write to {name()}@{name()}.org.",
        lambda: f"Ask {name()}.{name()}+news@mail.{name()}.co.uk, or wait.",
        lambda: f"Follow @{name()} and {name()}@localhost for more.",
        lambda: f"Buy 3@2.50 of the {name()} (or {name()}_7@{name()}.com) today.",
        lambda: f"Both {name().upper()}@{name().upper()}.NET and {name()}-{name()}@{name()}-{name()}.info answer!",
        lambda: f"The {name()} in the {name()}.com? No: <{name()}@a1.{name()}.de>;",
        lambda: f"Neither {name()}@{name()}.c nor a@b.c is one.",
        lambda: f"Signs belong to it: -{name()}@{name()}.org, .{name()}@{name()}.net and _{name()}@{name()}.eu.",
        lambda: f"Also {name()}.@{name()}.org or {name()}-@{name()}.museum, not @{name()}.com.",
        lambda: f"See [{name()}@{name()}.org] and 50%{name()}@{name()}.net, not x@{name()}..org or y@{name()}_1.org.",
    )
    return (" ".join(kinds[n % len(kinds)]() for n in range(sentences)),)


@exercise(
    title="E-mail addresses out of a text",
    task="Replace every e-mail address whose domain has a dot by |||EMAIL_ADDRESS|||.",
    difficulty=2,
    minutes=12,
    make=make_emails,
    shapes=(
        {"sentences": 1},
        {"sentences": 2},
        {"sentences": 3},
        {"sentences": 6},
        {"sentences": 10},
        {"sentences": 21},
    ),
    exact=True,
    hints=(
        "Three parts: a run of allowed characters, an @, a domain. Most of the work is to say where the domain ends.",
        "A domain is one or more labels with a dot after each, and last two or more letters. The dot of the sentence "
        "then stays outside, because no letters follow it.",
        'return re.sub(r"[A-Za-z0-9._+-]+@(?:[A-Za-z0-9-]+\\.)+[A-Za-z]{2,}", "|||EMAIL_ADDRESS|||", text)',
    ),
    why=(
        "The domain is one or more labels with their dots and then a last one of letters, so the full stop of a "
        "sentence is left over and stays. No class of characters has a bracket or a comma in it, and those remain "
        "too. Repetitions take as much as they can, so the local part goes with all its dots and plus signs."
    ),
)
def redact_emails(text):
    """Replace every e-mail address by |||EMAIL_ADDRESS|||.

    An address is a run of letters, digits and . _ + - (all of it, even where it begins or ends with
    one of these signs), an @, and a domain: at least two labels of letters, digits and - with dots
    between them, the last of two or more letters. Signs of the sentence around an address stay.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
    """
    return re.sub(r"[A-Za-z0-9._+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}", "|||EMAIL_ADDRESS|||", text)


EMAIL_MARK = "|||EMAIL_ADDRESS|||"


LOCAL, DOMAIN = r"[A-Za-z0-9._+-]+", r"(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}"


def _with(pattern: str, count: int = 0, mark: str = EMAIL_MARK) -> Function:
    return lambda text: re.sub(pattern, mark, text, count=count)


redact_emails.mistake(
    "Your function replaces everything up to the next space.",
    "Dots, commas and brackets after an address belong to the sentence: say which characters a domain has.",
    _with(r"\S+@\S+"),
)

redact_emails.mistake(
    "Your function does not ask for a dot in the domain.",
    "name@localhost and 3@2 are not addresses that reach anybody: a label, a dot, and letters at the end.",
    _with(rf"{LOCAL}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"),
)

redact_emails.mistake(
    "Your function stops at the second dot of the domain and leaves the rest standing.",
    "mail.example.co.uk has four labels: repeat the part with the dot, (?:label\\.)+.",
    _with(rf"{LOCAL}@[A-Za-z0-9-]+\.[A-Za-z]{{2,}}"),
)

redact_emails.mistake(
    "Your function leaves what stands before a dot or plus sign of the local part.",
    "first.last+tag@ is one local part: allow dot, plus, minus and underscore in it.",
    _with(rf"[A-Za-z0-9]+@{DOMAIN}"),
)

redact_emails.mistake(
    "Your function knows small letters only.",
    "Addresses are written in capitals too: A-Z and a-z, or re.IGNORECASE.",
    _with(r"[a-z0-9._+-]+@(?:[a-z0-9-]+\.)+[a-z]{2,}"),
)

redact_emails.mistake(
    "Your function replaces the first address only.",
    "re.sub replaces all unless it is told a count; a search finds one, so continue after it.",
    _with(f"{LOCAL}@{DOMAIN}", count=1),
)

redact_emails.mistake(
    "Your function deletes the addresses.",
    "A mark stays in the place of each: the sentence keeps its shape, and a model learns that something was there.",
    _with(f"{LOCAL}@{DOMAIN}", mark=""),
)
