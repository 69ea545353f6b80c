"""Warm-up and cosine."""

from __future__ import annotations

import math

import numpy as np

from ....training.schedule import Schedule
from ...exercises.exercise import exercise
from .inputs import Arrays


def make_schedule(rng: np.random.Generator, warmup: int, total: int) -> Arrays:
    if total < max(warmup, 2):
        raise ValueError("the warm-up is part of the run")
    steps = list(range(1, total + 3))  # all of the run, and two after it
    return steps, 3e-4, warmup, total, 0.0 if total > 101 else 0.1 if total % 2 else 0.25


def rates(schedule, args):
    """The learning rate of every step."""
    steps, *others = args
    return np.array([schedule(step, *others) for step in steps], np.float64)


def _schedule(step, peak, warmup_steps, total_steps, final_fraction):
    return Schedule(peak, warmup_steps, total_steps, final_fraction)(step)


@exercise(
    title="Warm-up and cosine",
    task="The learning rate of update `step` (from 1): up in a line, then down along half a cosine to a tenth or so.",
    difficulty=2,
    minutes=20,
    same_as=_schedule,
    make=make_schedule,
    observe=rates,
    shapes=(
        {"warmup": 2, "total": 5},
        {"warmup": 0, "total": 4},
        {"warmup": 1, "total": 3},
        {"warmup": 3, "total": 3},
        {"warmup": 5, "total": 20},
        {"warmup": 10, "total": 101},
        {"warmup": 7, "total": 120},
    ),
    axes=("step",),
    hints=(
        "Three stretches: below warmup_steps, from there to total_steps, and after. What is the rate at each border?",
        "In the middle, passed = (step - warmup_steps) / (total_steps - warmup_steps) goes from 0 to 1, and "
        "(1 + cos(pi * passed)) / 2 from 1 to 0. Stretch that between peak and end = final_fraction * peak.",
        "if step < warmup_steps:\n"
        "    return peak * step / warmup_steps\n"
        "passed = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))\n"
        "return end + (peak - end) * (1 + math.cos(math.pi * passed)) / 2",
    ),
    why=(
        "At first AdamW's means rest on a few gradients, so the rate starts near 0 and rises. A cosine leaves the "
        "peak and reaches the end without a jump in slope, and scaled by half the difference it falls to `end` and "
        "not to 0. The minimum holds it there when a run goes on for longer than planned."
    ),
)
def warmup_cosine(step, peak, warmup_steps, total_steps, final_fraction):
    """The learning rate of an update: linear warm-up, then half a cosine.

    lr = peak * step / warmup_steps                                      step < warmup_steps
    lr = end + (peak - end) / 2 * (1 + cos(pi * passed))                 up to total_steps
    lr = end                                                             after it

    with end = final_fraction * peak, and `passed` going from 0 at warmup_steps to 1 at total_steps. A
    run may be all warm-up, with warmup_steps = total_steps: its last step has the peak.

    Parameters
    ----------
    step : int
        Counts from 1.
    peak : float
    warmup_steps : int
        From 0 to total_steps.
    total_steps : int
    final_fraction : float
        0.1 in LLaMA 2; from 0 to 1.

    Returns
    -------
    float
    """
    if step < warmup_steps:
        return peak * step / warmup_steps
    end = final_fraction * peak
    passed = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return end + (peak - end) / 2 * (1 + math.cos(math.pi * passed))


def wrong_schedule(
    late=0, from_start=False, turns=1.0, half=0.5, clamp=True, floor=True, linear=False, low=0.0, cut=False
):
    def function(step, peak, warmup_steps, total_steps, final_fraction):
        end = peak * final_fraction if floor else 0.0
        if step < warmup_steps:
            share = (step + late) / warmup_steps
            return peak * (low * final_fraction + (1 - low * final_fraction) * share)
        begin = 0 if from_start else warmup_steps
        passed = (step - begin) / max(1, total_steps - begin)
        passed = min(passed, 1.0) if clamp else passed
        falling = 1 - passed if linear else half * (1 + math.cos(math.pi * turns * passed))
        return max(end, peak * falling) if cut else end + (peak - end) * falling

    return function


warmup_cosine.mistake(
    "Your cosine ends at 0, not at final_fraction of the peak.",
    "LLaMA 2 decays to 10 % of the peak: the cosine is stretched between peak and end.",
    wrong_schedule(floor=False),
)

warmup_cosine.mistake(
    "Your cosine falls towards 0 and is cut off at final_fraction of the peak.",
    "max(end, ...) makes a floor with a kink. The cosine is stretched between peak and end: end + (peak - "
    "end) * (1 + cos) / 2.",
    wrong_schedule(cut=True),
)

warmup_cosine.mistake(
    "Your warm-up is early by one step: (step + 1) / warmup_steps.",
    "Steps count from 1 here: the first one has peak / warmup_steps. step + 1 is for loops that count from 0.",
    wrong_schedule(late=1),
)

warmup_cosine.mistake(
    "Your warm-up is late by one step: the first update has rate 0.",
    "Steps count from 1 here: peak * step / warmup_steps. An update with rate 0 is a batch thrown away.",
    wrong_schedule(late=-1),
)

warmup_cosine.mistake(
    "Your cosine counts from the beginning of the run, not from the end of the warm-up.",
    "At the end of the warm-up the rate has to be the peak; yours jumps there. passed = (step - "
    "warmup_steps) / (total_steps - warmup_steps).",
    wrong_schedule(from_start=True),
)

warmup_cosine.mistake(
    "Your rate rises again behind total_steps.",
    "A cosine continues for ever: hold `passed` at 1.",
    wrong_schedule(clamp=False),
)

warmup_cosine.mistake(
    "Your cosine goes all the way round: down and up again.",
    "Half a turn: the angle ends at pi, not at 2 pi.",
    wrong_schedule(turns=2.0),
)

warmup_cosine.mistake(
    "Your cosine only falls to the middle: the angle ends at pi / 2.",
    "Half a turn, from cos 0 = 1 to cos pi = -1.",
    wrong_schedule(turns=0.5),
)

warmup_cosine.mistake(
    "Your rate falls in a straight line.",
    "The decay is half a cosine: slow at first, fastest in the middle, slow at the end.",
    wrong_schedule(linear=True),
)

warmup_cosine.mistake(
    "Your warm-up begins at final_fraction of the peak, not at 0.",
    "The floor belongs to the cosine. The warm-up is peak * step / warmup_steps.",
    wrong_schedule(low=1.0),
)


@warmup_cosine.mistake(
    "Your function divides by 0 where the warm-up is the whole run.",
    "Then total_steps - warmup_steps is 0: divide by max(1, total_steps - warmup_steps).",
)
def divides_by_no_steps(step, peak, warmup_steps, total_steps, final_fraction):
    if step < warmup_steps:
        return peak * step / warmup_steps
    end = final_fraction * peak
    passed = min(1.0, (step - warmup_steps) / (total_steps - warmup_steps))
    return end + (peak - end) / 2 * (1 + math.cos(math.pi * passed))


@warmup_cosine.mistake(
    "Your function asks for the end first: a run that is all warm-up ends at final_fraction of the peak.",
    "With warmup_steps = total_steps the last step has the peak, and `end` comes after it.",
)
def asks_for_the_end_first(step, peak, warmup_steps, total_steps, final_fraction):
    if step >= total_steps:
        return final_fraction * peak
    return warmup_cosine(step, peak, warmup_steps, total_steps, final_fraction)
