"""What a caller gives, checked at the door: numbers, stop strings, prompts.

Every way in asks here (`LLM`, `Sampling`, `Session`, a batch, the command line), so that one mistake is told in one
sentence. What can only mean one thing is taken as that: 40.0 and numpy.int64(40) are 40, a text is a list of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any


def number(name: str, value: Any, allowed: str, is_allowed: Callable[[float], bool]) -> float:
    """`value` as a float.

    Parameters
    ----------
    name, allowed : str
        For the message: "top_p must be between 0 and 1 (off), got 1.5".
    is_allowed : callable
        NaN comes here, too.

    Raises
    ------
    ValueError
        When it is out of range. TypeError when it is not a number; True and False are none.
    """
    try:
        found = float(_real(name, value, allowed))
    except OverflowError:  # an int beyond float64
        found = math.inf
    if not is_allowed(found):
        raise ValueError(f"{name} must be {allowed}, got {value!r:.80}")
    return found


def whole_number(name: str, value: Any, allowed: str, least: int = 0) -> int:
    """`value` as an int of at least `least`; errors as in `number`, also when it is not whole."""
    value = _real(name, value, allowed)
    is_whole = isinstance(value, Integral) or (math.isfinite(value) and value == int(value))
    if not is_whole or value < least:
        raise ValueError(f"{name} must be {allowed}, got {value!r:.80}")
    return int(value)


def _real(name: str, value: Any, allowed: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {allowed}, got {value!r:.80} ({type(value).__name__})")
    return value


def token_limit(max_tokens: Any) -> int | None:
    """`max_tokens`, checked; errors as in `number`."""
    if max_tokens is None:
        return None
    return whole_number("max_tokens", max_tokens, "a whole number, 0 or more, or None (to the end of the context)")


def random_seed(seed: Any) -> int | None:
    """`seed`, checked; errors as in `number`."""
    if seed is None:
        return None
    return whole_number("seed", seed, "a whole number, 0 or more, or None (another text each time)")


def stop_strings(stop: Any) -> tuple[str, ...]:
    """The texts that end an answer: one, several or None.

    Raises
    ------
    ValueError
        When one is empty, which every text would end with. TypeError when one is not a text.
    """
    if stop is None:
        return ()
    several = [stop] if isinstance(stop, str) else stop
    is_list = isinstance(several, Iterable) and not isinstance(several, bytes | bytearray | Mapping)
    texts = tuple(several) if is_list else (stop,)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"stop must be a text or a list of texts, got {stop!r:.80}")
    if "" in texts:
        raise ValueError("a stop string must not be empty")
    return texts


def prompt_text(prompt: Any) -> str:
    """A prompt, which is one text.

    Raises
    ------
    TypeError
        When it is something else.
    """
    if not isinstance(prompt, str):
        raise TypeError(
            f"a prompt must be a text, got {prompt!r:.80} ({type(prompt).__name__}); "
            "generate_batch takes several texts, a session takes token ids"
        )
    return prompt


def prompt_texts(prompts: Any) -> list[str]:
    """The prompts of a batch; one text alone is refused, because its characters are texts, too."""
    if isinstance(prompts, str | bytes | bytearray | Mapping) or not isinstance(prompts, Iterable):
        raise TypeError(f"a batch must be a list of texts, got {prompts!r:.80} ({type(prompts).__name__})")
    return [prompt_text(prompt) for prompt in prompts]
