"""Requests in, answers out, in the same order: `Engine.ask`.

    encode      each different request once; what cannot be asked is answered with its problem
    look up     what the store has
    run         likelihoods as one tree of sequences, then generations
    keep        every answer as soon as it is complete

The same request gets the same bytes whatever else is asked, whatever the store had, and wherever a run was killed;
of float32 products on a CPU without AVX-512 all but the last digits (inference/branches.py).

Log-likelihoods are computed in float32, also of a model that is loaded to multiply in integers: its activations are
rounded to 15 bits then, which moves a token's log-probability by 0.001. That adds up over an answer of forty tokens to
more than harness and harness differ by. What is generated comes from the model as it is loaded.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from ...inference.arguments import whole_number
from ...inference.runner import runner_for
from ...kv_cache import KVCache
from ...llm import LLM
from ..common.requests import Answer, Generation, Likelihood, LogLikelihood, Request, Rolling, Written
from .encoding import Encoder, Pair, Prompt, Stops, Unanswerable
from .generating import Generating, Row, Task
from .likelihoods import Likelihoods, PairAnswer
from .origin import origin_of
from .planning import tokens_of
from .store import Answers, Store, request_key

BATCH_SIZE = 32
BROKEN = (
    "the model computes numbers that are not finite: its weights are damaged, or too large for its arithmetic; "
    "download or convert it again"
)


@dataclass(frozen=True)
class Progress:
    """How far a list of requests is.

    Attributes
    ----------
    done, total : int
        Tokens; for those to be generated as many as are allowed, until an answer ends.
    answered, requests : int
        Different requests; those that were kept count as answered.
    seconds : float
        Since the first token.
    """

    done: int
    total: int
    answered: int
    requests: int
    seconds: float

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None before anything has run."""
        return self.seconds / self.done * (self.total - self.done) if self.done else None


ProgressCallback = Callable[[Progress], None]
Encoded = list[Pair] | Prompt


class Engine:
    """Asks one model.

    Parameters
    ----------
    llm : LLM
    batch_size : int
        Sequences that run together at most.
    max_length : int, optional
        Tokens that the model reads at most; its context window by default.
    store : Store, optional
        Where answers are kept.
    in_float32 : bool
        Log-likelihoods in float32, whatever the model multiplies in; otherwise as it is loaded, which is faster.

    Raises
    ------
    ValueError
        When the model cannot read so many tokens, or its answers cannot be kept.
    """

    def __init__(
        self,
        llm: LLM,
        *,
        batch_size: int = BATCH_SIZE,
        max_length: int | None = None,
        store: Store | None = None,
        in_float32: bool = True,
    ) -> None:
        window = llm.config.max_seq_len
        self.llm, self.store = llm, store
        self.batch_size = whole_number("batch_size", batch_size, "a whole number, 1 or more", least=1)
        self.max_length = whole_number("max_length", max_length or window, "a whole number, 1 or more", least=1)
        if self.max_length > window:
            raise ValueError(f"max_length is {self.max_length}, and {llm.name} reads {window} tokens at most")
        self.encoder = Encoder(llm.tokenizer, self.max_length, llm.config.vocab_size)
        self.scorer = runner_for(llm.params, llm.config, llm.ops, exact=True) if in_float32 else llm.runner
        self._origin = None if store is None else origin_of(llm, self.scorer)

    def ask(self, requests: Sequence[Request], progress: ProgressCallback | None = None) -> list[Answer]:
        """Answer requests, in their order.

        Parameters
        ----------
        requests : sequence of LogLikelihood, Rolling or Generation
        progress : callable, optional
            Called with a `Progress` from time to time.

        Returns
        -------
        list of Likelihood or Written
            With a `problem` where the model cannot be asked.

        Raises
        ------
        LockedError
            When another process keeps answers of the same model.
        KeyboardInterrupt
            What was answered until then is in the store.
        """
        with self._answers() as kept:
            answers: dict[Request, Answer] = {}
            encoded: dict[Request, Encoded] = {}
            for request in dict.fromkeys(requests):
                found = self._known(request, kept, encoded)
                if found is not None:
                    answers[request] = found
            run = _Run(self, encoded, len(answers), progress)
            for request, answer in run:
                answers[request] = answer
                if kept is not None and answer.problem is None:
                    kept.add([(request_key(request, self.max_length), answer)])
        return [answers[request] for request in requests]

    def unanswered(self, requests: Sequence[Request]) -> list[Request]:
        """The requests, each once, to which the store has no answer."""
        with self._answers() as kept:
            different = dict.fromkeys(requests)
            return [one for one in different if kept is None or kept.get(request_key(one, self.max_length)) is None]

    def _answers(self) -> AbstractContextManager[Answers | None]:
        if self.store is None or self._origin is None:
            return nullcontext()
        return self.store.opened(self._origin)

    def _known(self, request: Request, kept: Answers | None, encoded: dict[Request, Encoded]) -> Answer | None:
        """An answer that needs no model; otherwise the request is encoded."""
        answer = None if kept is None else kept.get(request_key(request, self.max_length))
        if answer is not None:
            return answer
        try:
            encoded[request] = self.encode(request)
        except Unanswerable as problem:
            return unanswered(request, str(problem))
        return None

    def encode(self, request: Request) -> Encoded:
        """A request in tokens: pairs of contexts and continuations, or a prompt.

        Raises
        ------
        Unanswerable
        """
        if isinstance(request, LogLikelihood):
            return [self.encoder.pair(request)]
        if isinstance(request, Rolling):
            return self.encoder.windows(request)
        return self.encoder.prompt(request)

    def new_path(self) -> KVCache:
        """A cache for the path of one sequence."""
        return KVCache(self.llm.config, 1, self.max_length, self.llm.kv_dtype)

    def stops_of(self, request: Generation) -> Stops:
        """When an answer to it ends: EOS, what else the model's files name, and its own texts."""
        eos = self.llm.tokenizer.eos_id
        stop_ids = self.llm.named_stop_ids | (frozenset() if eos is None else {eos})
        return Stops(self.llm.tokenizer, request.until, stop_ids)


class _Run:
    """What has to run, and how far it is."""

    def __init__(
        self,
        engine: Engine,
        encoded: Mapping[Request, Encoded],
        n_answered: int,
        progress: ProgressCallback | None,
    ) -> None:
        self._engine, self._progress = engine, progress
        self._pairs = {request: found for request, found in encoded.items() if isinstance(found, list)}
        self._prompts = {request: found for request, found in encoded.items() if isinstance(found, Prompt)}
        self._n_answered, self._n_requests = n_answered, n_answered + len(encoded)
        self._done, self._total, self._start = 0, 0, 0.0

    def __iter__(self) -> Iterator[tuple[Request, Answer]]:
        llm, engine = self._engine.llm, self._engine
        flat = [(request, pair) for request, pairs in self._pairs.items() for pair in pairs]
        path = engine.new_path()
        likelihoods = Likelihoods(engine.scorer, [pair for _, pair in flat], path, engine.batch_size)
        tasks = [
            Task(prompt, engine.stops_of(request), request.max_tokens)
            for request, prompt in self._prompts.items()
            if isinstance(request, Generation)
        ]
        generating = Generating(llm.runner, tasks, path, engine.batch_size, llm.tokenizer.vocab_size)
        self._total = tokens_of(likelihoods.paths) + generating.n_tokens
        self._start = time.perf_counter()
        yield from self._likelihoods(likelihoods, [request for request, _ in flat])
        yield from self._generations(generating, list(self._prompts))

    def _likelihoods(self, likelihoods: Likelihoods, owners: Sequence[Request]) -> Iterator[tuple[Request, Answer]]:
        found: dict[Request, list[PairAnswer]] = defaultdict(list)
        for request, pairs in self._pairs.items():
            if not pairs:  # an empty text
                yield request, likelihood_of(pairs, [])
                self._count(0, 1)
        for n_tokens, answers in likelihoods:
            complete = 0
            for answer in answers:
                request = owners[answer.pair]
                found[request].append(answer)
                if len(found[request]) == len(self._pairs[request]):
                    in_order = sorted(found.pop(request), key=lambda one: one.pair)
                    yield request, likelihood_of(self._pairs[request], in_order, isinstance(request, Rolling))
                    complete += 1
            self._count(n_tokens, complete)

    def _generations(self, generating: Generating, requests: Sequence[Request]) -> Iterator[tuple[Request, Answer]]:
        for n_tokens, rows in generating:
            for row in rows:
                request = requests[row.number]
                assert isinstance(request, Generation)
                yield request, written_of(self._prompts[request], generating.tasks[row.number], row)
                self._total -= request.max_tokens - len(row.ids)  # it ended earlier
            self._count(n_tokens, len(rows))

    def _count(self, n_tokens: int, n_answers: int) -> None:
        self._done += n_tokens
        self._n_answered += n_answers
        if self._progress is not None:
            seconds = time.perf_counter() - self._start
            self._progress(Progress(self._done, self._total, self._n_answered, self._n_requests, seconds))


def likelihood_of(pairs: Sequence[Pair], found: Sequence[PairAnswer], is_rolling: bool = False) -> Likelihood:
    """The answer to a request from those to its pairs, in order; NaN would win every argmax, so it is a problem."""
    logprob = float(sum(answer.logprob for answer in found))
    is_sound = math.isfinite(logprob)
    return Likelihood(
        logprob=logprob if is_sound else -math.inf,
        is_greedy=is_sound and all(answer.is_greedy for answer in found),
        n_tokens=sum(len(pair.continuation) for pair in pairs),
        n_context=0 if is_rolling or not pairs else len(pairs[0].context),
        truncated=not is_rolling and any(pair.truncated for pair in pairs),
        problem=None if is_sound else BROKEN,
    )


def written_of(prompt: Prompt, task: Task, row: Row) -> Written:
    """The answer to a request from what was generated."""
    if not row.is_sound:
        return Written("", (), n_context=len(prompt.ids), truncated=prompt.truncated, problem=BROKEN)
    text = task.stops.text(row.ids)
    return Written(text, tuple(row.ids), row.smallest_margin, len(prompt.ids), prompt.truncated)


def unanswered(request: Request, problem: str) -> Answer:
    """The answer to a request that the model cannot be asked."""
    if isinstance(request, Generation):
        return Written("", problem=problem)
    return Likelihood(float("-inf"), False, 0, problem=problem)
