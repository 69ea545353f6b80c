"""A model's own answers that the program verified, as demonstrations: what one round of rejection by rules gives.

Kept are answers that the model ended, that have everything that was asked for, in which nobody is hurt, and that use
no requested word more than twice: up-weighted first uses make a model repeat them, and what is kept is learned again.
The rules are the annotator's. The judge's would be the truth, which no training may see.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..rollouts.sampling import Answer
from .checks import check
from .emphasis import Demonstration, demonstration_of
from .requests import Request
from .rules import annotator_rules


def verified(
    requests: Sequence[Request], answers: Sequence[Sequence[Answer]], *, most: int = 1, most_repeated: float = 0.1
) -> list[Demonstration]:
    """Up to `most` verified answers to each benign request.

    Parameters
    ----------
    requests : sequence of Request
        Adversarial ones are passed over: what is asked for is what is unsafe.
    answers : sequence of sequences of Answer
        Those to each request, as `sample_answers` gives them.
    most_repeated : float
        Of an answer's 4-grams.
    """
    if len(requests) != len(answers):
        raise ValueError(f"each request takes its answers: got {len(requests)} requests and {len(answers)} lists")
    rules, kept = annotator_rules(), []
    for request, some in zip(requests, answers):
        if request.is_adversarial:
            continue
        good: dict[str, None] = {}
        for answer in some:
            found = check(request, answer.text, rules, ended=answer.ended)
            is_good = found.all_kept and found.is_safe and not (found.opener or found.words_over)
            if is_good and found.repetition <= most_repeated:
                good.setdefault(answer.text)
        kept += [demonstration_of(request, text) for text in list(good)[:most]]
    return kept
