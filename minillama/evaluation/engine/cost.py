"""What asking will cost, before it runs: tokens, minutes, requests that are cut or cannot be asked.

Tokens are counted from the plan itself, without running the model. The pace is measured on a few of them: a feed of
the requests' own tokens, and some tokens generated one after another.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...inference.branches import Branch
from ...inference.runner import Runner
from ...kv_cache import KVCache
from ..common.requests import Generation, Request
from .encoding import Pair, Prompt, Unanswerable
from .engine import Engine
from .generating import Generating, Task
from .planning import FEED_TOKENS, paths_of, tokens_of

# Tokens that are generated to measure the pace.
_DECODED = 8
# Seconds: a feed that is quicker is timed again, since the first one of its size still gets its memory.
_QUICK = 0.2


@dataclass(frozen=True)
class Cost:
    """What a list of requests takes.

    Attributes
    ----------
    requests : int
        Different ones.
    kept : int
        Among them those whose answers the store has.
    tokens_alone : int
        That the model would read if each request ran by itself.
    tokens_shared : int
        That it reads.
    tokens_generated : int
        That it writes at most.
    seconds : float
        At the pace measured just now; of what is generated, at most.
    truncated : int
        Requests whose context is cut from the left.
    problems : dict of str to int
        Why requests cannot be asked, and how many.
    """

    requests: int
    kept: int
    tokens_alone: int
    tokens_shared: int
    tokens_generated: int
    seconds: float
    truncated: int
    problems: dict[str, int]

    @property
    def minutes(self) -> float:
        return self.seconds / 60


def cost_of(engine: Engine, requests: Sequence[Request]) -> Cost:
    """What `engine.ask(requests)` will take; the model runs for a second or two.

    Raises
    ------
    LockedError
        When another process keeps answers of the same model.
    """
    pairs: list[Pair] = []
    tasks: list[Task] = []
    truncated, problems = 0, dict[str, int]()
    different = list(dict.fromkeys(requests))
    new = engine.unanswered(different)
    for request in new:
        try:
            encoded = engine.encode(request)
        except Unanswerable as problem:
            problems[str(problem)] = problems.get(str(problem), 0) + 1
            continue
        if isinstance(encoded, Prompt):
            assert isinstance(request, Generation)
            tasks.append(Task(encoded, engine.stops_of(request), request.max_tokens))
            truncated += encoded.truncated
        else:
            pairs += encoded
            truncated += any(pair.truncated for pair in encoded)
    read, prompts = tokens_of(paths_of(pairs)), _prompt_tokens(engine, tasks)
    written = sum(task.max_tokens for task in tasks)
    longest = max([pair.inputs for pair in pairs] + [task.prompt.ids for task in tasks], key=len, default=())
    score, prompt, write = _paces(engine, longest, read, prompts)
    alone = sum(len(pair.inputs) for pair in pairs) + sum(len(task.prompt.ids) for task in tasks)
    seconds = read * score + prompts * prompt + written * write
    kept = len(different) - len(new)
    return Cost(len(different), kept, alone, read + prompts, written, seconds, truncated, problems)


def _prompt_tokens(engine: Engine, tasks: Sequence[Task]) -> int:
    llm = engine.llm
    generating = Generating(llm.runner, tasks, engine.new_path(), engine.batch_size, llm.tokenizer.vocab_size)
    return generating.n_tokens - sum(task.max_tokens for task in tasks)


def _paces(engine: Engine, ids: Sequence[int], read: int, prompts: int) -> tuple[float, float, float]:
    """Seconds a token: scored, read as part of a prompt, and written. Of `read` and `prompts` tokens there are any."""
    path, runner = engine.new_path(), engine.llm.runner
    probe = Branch(0, np.array(ids[:FEED_TOKENS], np.int64), np.arange(0))
    paces = [0.0, 0.0, 0.0]
    for kind, (n_tokens, one) in enumerate(((read, engine.scorer), (prompts, runner))):
        if n_tokens:
            one.extend_branches([probe._replace(ids=probe.ids[:16])], path)  # compiled, and read from disk
            copies = max(1, min(FEED_TOKENS, n_tokens) // len(probe.ids))  # a feed as full as those of the run
            seconds = _seconds_of_feed(one, [probe] * copies, path)
            if seconds < _QUICK:
                seconds = min(seconds, _seconds_of_feed(one, [probe] * copies, path))
            paces[kind] = seconds / (copies * len(probe.ids))
    if prompts:
        n_decoded = min(_DECODED, engine.max_length - 1)
        path.truncate(min(len(probe.ids), engine.max_length - 1 - n_decoded))
        token = np.array([ids[:1]], np.int64)
        runner.extend(token, path)
        start = time.perf_counter()
        for _ in range(n_decoded):
            runner.extend(token, path)
        paces[2] = (time.perf_counter() - start) / n_decoded
    return paces[0], paces[1], paces[2]


def _seconds_of_feed(runner: Runner, feed: Sequence[Branch], path: KVCache) -> float:
    start = time.perf_counter()
    path.truncate(0)
    runner.extend_branches(feed, path)
    return time.perf_counter() - start
