"""A model with its tokenizer: text in, text out. `minillama.load` makes one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .checkpoints.hub.models import DownloadProgress
from .checkpoints.loading import open_model
from .compute.threads import set_threads
from .config import ModelConfig
from .inference.arguments import prompt_text, prompt_texts, random_seed, stop_strings, token_limit
from .inference.chat import ChatTemplate, template_for
from .inference.generate import TokenStream, generate_batch
from .inference.runner import runner_for
from .inference.sampling import Sampling, chosen_sampling
from .inference.session import Session, sequence_logprobs
from .inference.text import Generation, TextStream, ends_of, generation_of
from .model import output_head
from .ops import FAST, Ops
from .params import Params
from .tokenizers import Tokenizer
from .trees import named_leaves


class LLM:
    """A model, its tokenizer and its chat format.

    Attributes
    ----------
    config : ModelConfig
    params : Params
    tokenizer : Tokenizer
    runner : Runner
        What runs it: sessions and batches hold the same.
    name : str
        What it was loaded as.
    stop_ids : frozenset of int
        The tokens that end a text or an answer, as the model's files and its tokenizer name them.
    named_stop_ids : frozenset of int
        Those among them that the model's files name as such.
    """

    def __init__(
        self,
        params: Params,
        config: ModelConfig,
        tokenizer: Tokenizer | None,
        *,
        ops: Ops = FAST,
        exact: bool = False,
        kv_dtype: DTypeLike = np.float32,
        name: str = "model",
        stop_ids: Iterable[int] = (),
    ) -> None:
        self.params, self.config, self.name = params, config, name
        if np.dtype(kv_dtype) not in (np.float32, np.float16):
            raise ValueError(f"keys and values are kept in float32 or float16, not {np.dtype(kv_dtype)}")
        if not isinstance(ops, Ops):
            raise TypeError(f"ops must be FAST, REFERENCE or what replace_layer gives, got {ops!r:.80}")
        self._tokenizer, self.kv_dtype, self._exact = tokenizer, np.dtype(kv_dtype), exact
        self.runner = runner_for(params, config, ops, exact=exact)
        self.named_stop_ids = frozenset(stop_ids)
        self.stop_ids = self.named_stop_ids | (frozenset() if tokenizer is None else tokenizer.stop_ids)

    @property
    def tokenizer(self) -> Tokenizer:
        if self._tokenizer is None:
            raise ValueError(
                f"{self.name} carries no tokenizer: pass tokenizer=FILE (tokenizer.model, tokenizer.json or "
                "tokenizer.bin), on the command line --tokenizer FILE"
            )
        return self._tokenizer

    @property
    def ops(self) -> Ops:
        """The table of functions that it runs on; `use_ops` replaces it."""
        return self.runner.ops

    def use_ops(self, ops: Ops) -> None:
        """Replace the table of functions that the model runs on, from the next session on."""
        self.runner = runner_for(self.params, self.config, ops, exact=self._exact, earlier=self.runner)

    @property
    def bytes_per_token(self) -> int:
        """Bytes of weights that decoding one token reads, as stored: every layer and the head."""
        layers = sum(array.nbytes for _, array in named_leaves((self.params.layers, self.params.extras)))
        return int(layers + self.params.final_norm.nbytes + output_head(self.params).nbytes)

    def session(self, max_seq_len: int | None = None) -> Session:
        """A new sequence on this model."""
        return Session(self.runner, max_seq_len=max_seq_len, kv_dtype=self.kv_dtype)

    def _session_of_this_model(self, session: Session | None) -> Session:
        """The session given, or a new one; another model's would answer with that model."""
        if session is None:
            return self.session()
        if not isinstance(session, Session):
            raise TypeError(f"session must be one that session() made, got {session!r:.80} ({type(session).__name__})")
        if session.runner.config is not self.config:
            raise ValueError(f"the session belongs to another model than {self.name}: take one of its own session()")
        return session

    def encode_prompt(self, prompt: str) -> list[int]:
        """The ids of a prompt as generation starts from it: BOS where the model expects one.

        An empty prompt becomes BOS (EOS for a vocabulary without one).

        Raises
        ------
        TypeError
            When it is not a text.
        ValueError
            When it needs a token that the model does not have.
        """
        ids = self.tokenizer.encode(prompt_text(prompt))
        return self._of_the_model(ids or [_start_id(self.tokenizer)])

    def _of_the_model(self, ids: list[int]) -> list[int]:
        """`ids`, all of which have a row in the model; a tokenizer may have more."""
        n_rows = self.config.vocab_size
        if beyond := [id_ for id_ in ids if id_ >= n_rows]:
            raise ValueError(
                f"the text has the token {self.tokenizer.token_text(beyond[0])!r} (id {beyond[0]}), which {self.name} "
                f"lacks: the tokenizer has {self.tokenizer.vocab_size} tokens, the model {n_rows}; leave it out, or "
                "give the tokenizer that belongs to the model"
            )
        return ids

    def stream(
        self,
        prompt: str,
        *,
        max_tokens: int | None = 256,
        stop: str | Iterable[str] | None = None,
        keep_stop: bool = False,
        seed: int | None = None,
        session: Session | None = None,
        sampling: Sampling | None = None,
        **settings: Any,
    ) -> TextStream:
        """Continue `prompt`; iterate over the result for the pieces of text.

        Parameters
        ----------
        prompt : str
        max_tokens : int or None
            None continues to the end of the context.
        stop : str or list of str, optional
            Generation ends before any of these; they are not shown.
        keep_stop : bool
            The token that ends the text stays in the result's ids and log-probabilities; the text is the same.
        seed : int, optional
            The same seed gives the same text; without one it differs each time.
        session : Session, optional
            Reuses what its cache shares with the prompt.
        sampling : Sampling, optional
            Or its fields by name: temperature, top_k, top_p, min_p, repetition_penalty.

        Raises
        ------
        ValueError
            When an option or the prompt is not possible. TypeError when it is of another kind.
        SessionInUseError
            When another thread generates in the session; see `Session`.
        """
        ids, stop_ids = self.encode_prompt(prompt), self.stop_ids | ends_of(self.tokenizer)
        chosen = chosen_sampling(sampling, settings)
        tokens, stop = self._start_tokens(ids, stop_ids, max_tokens, stop, seed, session, chosen, keep_stop)
        return TextStream(tokens, self.tokenizer, before=ids, stop=stop)

    def generate(self, prompt: str, **options: Any) -> Generation:
        """Continue `prompt` to the end; options as in `stream`."""
        return self.stream(prompt, **options).run()

    def generate_batch(
        self,
        prompts: Iterable[str],
        *,
        max_tokens: int | None = 256,
        keep_stop: bool = False,
        seed: int | None = 0,
        max_rows: int = 64,
        sampling: Sampling | None = None,
        **settings: Any,
    ) -> list[Generation]:
        """Continue several prompts together; row b as it would go alone with seed + b.

        It has the same tokens, and the same log-probabilities: to the last bit where products are integer ones (a
        model of 4 to 8 bits), to within the rounding of float32 otherwise. What prompts begin with in common is
        computed and kept once; give a prompt n times for n continuations. For rows that join and leave as you say,
        see `inference.batch.Batch`.

        Parameters
        ----------
        max_rows : int
            Rows under way at once; more prompts wait until one ends. It bounds the memory for keys and values.

        Other options and errors as in `stream`, which alone takes `stop` and `session`; seed None gives other texts
        each time.
        """
        ids = [self.encode_prompt(prompt) for prompt in prompt_texts(prompts)]
        rows = generate_batch(
            self.runner,
            ids,
            chosen_sampling(sampling, settings),
            max_tokens=max_tokens,
            stop_ids=self.stop_ids | ends_of(self.tokenizer),
            n_ids=self.tokenizer.vocab_size,
            keep_stop=keep_stop,
            seed=seed,
            kv_dtype=self.kv_dtype,
            max_rows=max_rows,
        )
        return [generation_of(row, prompt, self.tokenizer, keep_stop=keep_stop) for prompt, row in zip(ids, rows)]

    def chat_template(self, name: str | None = None) -> ChatTemplate:
        """The chat format of this model, or the one called `name`."""
        return template_for(self.tokenizer, name)

    def chat_stream(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        continue_final_message: bool = False,
        max_tokens: int | None = None,
        stop: str | Iterable[str] | None = None,
        keep_stop: bool = False,
        seed: int | None = None,
        session: Session | None = None,
        template: str | None = None,
        sampling: Sampling | None = None,
        **settings: Any,
    ) -> TextStream:
        """Answer the last message of a conversation; options as in `stream`.

        Parameters
        ----------
        messages : sequence of {"role": "system" | "user" | "assistant", "content": str}
            And whatever else the model's chat template knows: other roles, contents in parts of text, further keys.
        continue_final_message : bool
            The last message is the beginning of the answer, which goes on from there.
        session : Session, optional
            Keep one over a conversation: only what is new since the last turn is computed.
        template : str, optional
            A chat format by name, when the model brings none, or one of several that it brings.
        """
        chat = self.chat_template(template)
        ids = chat.encode(messages, self.tokenizer, continue_final_message=continue_final_message)
        ids, stop_ids = self._of_the_model(ids), self.stop_ids | chat.stop_ids(self.tokenizer)
        chosen = chosen_sampling(sampling, settings)
        tokens, stop = self._start_tokens(ids, stop_ids, max_tokens, stop, seed, session, chosen, keep_stop)
        before = ids if continue_final_message else ()
        return TextStream(tokens, self.tokenizer, before=before, stop=stop)

    def chat(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> Generation:
        """Answer the last message of a conversation to the end; options as in `chat_stream`."""
        return self.chat_stream(messages, **options).run()

    def logits(self, ids: ArrayLike) -> NDArray[np.floating]:
        """Logits of every position of `ids` (T,), as (T, vocab_size); row t predicts token t + 1."""
        return self.session().feed_all(ids)

    def logprobs(
        self,
        context: str | Sequence[int],
        continuation: str | Sequence[int],
        *,
        temperature: float = 1.0,
        session: Session | None = None,
    ) -> NDArray[np.float64]:
        """log p of each token of `continuation` after `context`; at `temperature`, which 1 leaves out.

        Texts are divided as lm-evaluation-harness does it: white space at the end of the context goes to the
        continuation; both together are tokenised; the continuation has the tokens of the whole from the number on
        that the context has by itself. Where a token of the whole crosses the border these are not the
        continuation's letters exactly, and there may be none. Ids are taken as they are.

        Raises
        ------
        ValueError
            When the continuation is empty, or has no token of its own: no log-probabilities add up to 0, which would
            beat every real answer.
        """
        if isinstance(context, str) and isinstance(continuation, str):
            before, after = self._encode_pair(context, continuation)
        elif _are_ids(context) and _are_ids(continuation):
            before, after = list(context), list(continuation)
        else:
            raise ValueError("give context and continuation both as text or both as ids")
        return sequence_logprobs(self._session_of_this_model(session), before, after, temperature=temperature)

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        if not continuation:
            raise ValueError("the continuation is empty: give a text whose probability is wanted")
        stripped = context.rstrip()
        moved = context[len(stripped) :] + continuation
        whole, before = self.tokenizer.encode(stripped + moved), self.tokenizer.encode(stripped)
        if not before:
            before = [_start_id(self.tokenizer)]
            whole = before + whole
        if len(whole) <= len(before):
            raise ValueError(
                f"{continuation!r:.60} has no token of its own after this context: both together have {len(whole)} "
                f"tokens, the context alone {len(before)}; divide the text between two words"
            )
        return self._of_the_model(before), self._of_the_model(whole[len(before) :])

    def _start_tokens(
        self,
        ids: list[int],
        stop_ids: frozenset[int],
        max_tokens: int | None,
        stop: str | Iterable[str] | None,
        seed: int | None,
        session: Session | None,
        sampling: Sampling,
        keep_stop: bool,
    ) -> tuple[TokenStream, tuple[str, ...]]:
        """Run a prompt; the stream of tokens that follow, and the texts to stop at. All options are checked before."""
        limit, texts = token_limit(max_tokens), stop_strings(stop)
        rng, n_ids = np.random.default_rng(random_seed(seed)), self.tokenizer.vocab_size
        session = self._session_of_this_model(session)
        with session.held:
            session.continue_with(ids)
            tokens = TokenStream(
                session, sampling, rng, max_tokens=limit, stop_ids=stop_ids, n_ids=n_ids, keep_stop=keep_stop
            )
        return tokens, texts


def _are_ids(tokens: object) -> TypeGuard[Iterable[int]]:
    return isinstance(tokens, Iterable) and not isinstance(tokens, str | bytes | bytearray)


def _start_id(tokenizer: Tokenizer) -> int:
    """The token that an empty text is conditioned on."""
    for id_ in (tokenizer.bos_id, tokenizer.eos_id):
        if id_ is not None:
            return id_
    raise ValueError("the text is empty and the vocabulary has neither BOS nor EOS to start from")


def load(
    model: str | os.PathLike[str],
    *,
    tokenizer: str | os.PathLike[str] | Tokenizer | None = None,
    threads: int | None = None,
    ops: Ops | None = None,
    exact: bool = False,
    kv_dtype: DTypeLike = np.float32,
    progress: DownloadProgress | None = None,
) -> LLM:
    """Load a model by name or path; a known name is downloaded and verified the first time.

    Parameters
    ----------
    model : str or path
        "smollm2-135m-instruct" and other names of `minillama models`, or a GGUF or llama2.c
        file, or a folder (Hugging Face, Meta, minillama).
    tokenizer : path or Tokenizer, optional
        Where the format carries none (llama2.c), or to replace the one it has.
    threads : int, optional
        For this process; by default as many as there are cores.
    ops : Ops, optional
        FAST by default.
    exact : bool
        Keep all arithmetic in float32. By default a model of 4 to 8 bits multiplies in integers
        on CPUs that can, its activations rounded to 15 bits: several times faster, with
        log-probabilities that agree to three digits (KL 1e-6).
    kv_dtype : numpy dtype
        float32, or float16 for sessions whose keys and values take half the memory and are read in half the time;
        numbers beyond 65504, which it does not hold, raise CacheOverflowError.
    progress : callable, optional
        Called as progress(done_bytes, total_bytes, label) during a download.

    Raises
    ------
    ValueError
        When no model has that name. CheckpointError, one of them, when a file is damaged.
    DownloadError
        When it cannot be fetched.
    """
    if threads is not None:
        set_threads(threads)
    checkpoint, found = open_model(model, tokenizer, progress=progress)
    return LLM(
        checkpoint.params,
        checkpoint.config,
        found,
        ops=ops or FAST,
        exact=exact,
        kv_dtype=kv_dtype,
        name=str(model),
        stop_ids=checkpoint.stop_ids,
    )
