"""Pairs made for tests: two systems, or more, that answer numbered prompts."""

import itertools

from minillama.evaluation.preference import Pair, Prompt, Vote, make_pair


def prompts(n):
    return [Prompt(f"p{i}", ({"role": "user", "content": f"Question {i}?"},)) for i in range(n)]


def pairs(n, systems=("one", "other"), answer=lambda system, i: f"{system} says {i}"):
    """Every two systems on n prompts."""
    return [
        make_pair(prompt, (a, b), (answer(a, i), answer(b, i)))
        for i, prompt in enumerate(prompts(n))
        for a, b in itertools.combinations(systems, 2)
    ]


def vote(pair: Pair, preference: float | None, rater="judge", shown=0, **more) -> Vote:
    """A vote that prefers the pair's first answer where `preference` is above 0, whichever was shown first."""
    rating = None if preference is None else (preference if shown == 0 else -preference)
    return Vote(pair.id, rater, shown, rating, problem=None if preference is not None else "no verdict", **more)
