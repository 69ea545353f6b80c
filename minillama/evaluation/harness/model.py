"""A minillama model as lm-evaluation-harness knows models: its `LM`, answered by `engine/`, which shares what it can.

The harness hands over all requests of a kind at once, so the shared beginning of few-shot prompts and of a question's
options is computed once here too. Sampling is left out: the harness's benchmarks generate greedily.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ...files.suggestions import did_you_mean
from ...inference.chat import JinjaChat, template_for
from ...llm import LLM, load
from ..common.requests import Generation, Likelihood, LogLikelihood, Request, Rolling, Written
from ..engine.engine import BATCH_SIZE, Engine, Progress, ProgressCallback

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

    LM: Any
else:
    try:
        from lm_eval.api.model import LM
    except ImportError:  # the package is looked through where the harness is not; `harness.MinillamaLM` says so
        LM = object

MAX_TOKENS = 256  # of an answer, as the harness's other models have it
_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_log = logging.getLogger(__name__)


class MinillamaLM(LM):
    """A model for `lm_eval.simple_evaluate(model=…)`, or by name for `--model minillama`.

    Parameters
    ----------
    llm : LLM, optional
        A loaded model; otherwise `pretrained` names one.
    pretrained : str, optional
        What `minillama.load` takes: a name, a file or a folder.
    tokenizer : str, optional
        A file, where the model brings none.
    threads : int, optional
    exact : bool
        All arithmetic in float32, generating too.
    in_float32 : bool
        Log-likelihoods in float32 also where the model is loaded to multiply in integers; see `Engine`.
    batch_size : int or str
        Sequences that run together at most. 1, which the harness passes where nobody chooses, and "auto" take the
        engine's own number: scores do not depend on it.
    max_length : int, optional
        Tokens that the model reads at most; its context window by default.
    max_gen_toks : int
        Of an answer whose task says no number.
    template : str, optional
        A chat format of the model by name, where it brings several.
    max_batch_size, device
        Passed by the harness, whose command line says "cuda:0" where nobody chooses; the model runs on the CPU.

    Raises
    ------
    ValueError
        When a model argument is not known or not possible.
    """

    def __init__(
        self,
        llm: LLM | None = None,
        *,
        pretrained: str | None = None,
        tokenizer: str | None = None,
        threads: int | None = None,
        exact: bool = False,
        in_float32: bool = True,
        batch_size: int | str | None = None,
        max_length: int | None = None,
        max_gen_toks: int = MAX_TOKENS,
        template: str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__()
        _check_arguments(llm, pretrained, unknown)
        if device not in (None, "cpu"):
            _log.info("minillama runs on the CPU; the device %s is not used", device)
        if llm is None:
            llm = load(str(pretrained), tokenizer=tokenizer, threads=threads, exact=exact)
        self.llm, self.max_gen_toks, self._template = llm, max_gen_toks, template
        self.engine = Engine(llm, batch_size=_rows(batch_size), max_length=max_length, in_float32=in_float32)
        self.batch_size = self.engine.batch_size

    @property
    def max_length(self) -> int:
        """Tokens that the model reads at most."""
        return self.engine.max_length

    @property
    def eot_token_id(self) -> int | None:
        """The token that ends a text."""
        return self.llm.tokenizer.eos_id

    @property
    def tokenizer_name(self) -> str:
        """Under which the harness keeps prompts that were rendered with this model's template."""
        return self.llm.name.replace("/", "__")

    def loglikelihood(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """(log p, whether it is what the model would write) of each continuation; -inf for what cannot be scored."""
        asked = [LogLikelihood(*request.args) for request in requests]
        found = []
        for request, answer in zip(requests, self._ask(asked, "log-likelihoods", disable_tqdm)):
            assert isinstance(answer, Likelihood)
            found.append((answer.logprob, answer.is_greedy))
            self.cache_hook.add_partial("loglikelihood", request.args, found[-1])
        return found

    def loglikelihood_rolling(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[float]:
        """log p of each text as a whole."""
        found = []
        asked = [Rolling(request.args[0]) for request in requests]
        for request, answer in zip(requests, self._ask(asked, "texts", disable_tqdm)):
            assert isinstance(answer, Likelihood)
            found.append(answer.logprob)
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, found[-1])
        return found

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        """The greedy continuation of each context, up to a stop text."""
        found = []
        asked = [generation_of(request.args[0], request.args[1], self.max_gen_toks) for request in requests]
        for request, answer in zip(requests, self._ask(asked, "answers", disable_tqdm)):
            assert isinstance(answer, Written)
            found.append(answer.text)
            self.cache_hook.add_partial("generate_until", request.args, found[-1])
        return found

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The source of the model's chat template, for the results file; None where none is applied."""
        if not chat_template:
            return None
        return self._chat(chat_template if isinstance(chat_template, str) else self._template).source

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """A conversation as text, up to where the answer begins, or goes on without `add_generation_prompt`.

        Raises
        ------
        ValueError
            When the model has no chat template, or it refuses the conversation also without its system message.
        """
        chat, continued = self._chat(self._template), not add_generation_prompt
        try:
            return chat.text(chat_history, self.llm.tokenizer, continue_final_message=continued)
        except ValueError as error:
            spoken = [message for message in chat_history if message["role"] != "system"]
            if len(spoken) == len(chat_history):
                raise
            _log.warning("the chat template refuses the conversation (%s): its system message is left out", error)
            return chat.text(spoken, self.llm.tokenizer, continue_final_message=continued)

    def get_model_info(self) -> dict[str, Any]:
        """What the results file says about the model."""
        return {"model_name": self.llm.name, "max_length": self.max_length, "max_gen_toks": self.max_gen_toks}

    def _chat(self, name: str | None) -> JinjaChat:
        template = template_for(self.llm.tokenizer, name)
        if not isinstance(template, JinjaChat):
            raise ValueError(f"{self.llm.name} brings no chat template called {name}: leave out --apply_chat_template")
        return template

    def _ask(self, requests: Sequence[Request], what: str, is_quiet: bool) -> Sequence[Likelihood | Written]:
        """Answers in order; what cannot be asked is said once, and the run goes on."""
        with _bar(what, is_quiet) as progress:
            answers = self.engine.ask(requests, progress)
        problems = [(n, answer.problem) for n, answer in enumerate(answers) if answer.problem]
        if problems:
            number, problem = problems[0]
            _log.warning(
                "%d of %d requests cannot be asked and count as wrong; the first is request %d: %s",
                len(problems),
                len(requests),
                number,
                problem,
            )
        return answers


def generation_of(context: str, settings: Mapping[str, Any], max_tokens: int = MAX_TOKENS) -> Generation:
    """A request to generate from what the harness passes.

    Parameters
    ----------
    context : str
    settings : mapping
        The task's generation_kwargs: until, the number of tokens under one of its four names, do_sample, temperature.
    max_tokens : int
        Where the settings say no number.

    Raises
    ------
    ValueError
        When they ask for sampling.
    """
    if settings.get("do_sample") and settings.get("temperature", 1.0) != 0.0:
        raise ValueError(
            "minillama answers the harness greedily, and the task asks for sampling: leave do_sample and temperature "
            "out of its generation_kwargs"
        )
    until = settings.get("until") or ()
    stops = (until,) if isinstance(until, str) else tuple(until)
    chosen = next((settings[name] for name in _LENGTHS if settings.get(name) is not None), max_tokens)
    return Generation(context, tuple(stop for stop in stops if stop), int(chosen))


def _check_arguments(llm: LLM | None, pretrained: str | None, unknown: Mapping[str, Any]) -> None:
    """Refuse model arguments that mean nothing here, before a model is loaded."""
    known = ["pretrained", "tokenizer", "threads", "exact", "in_float32"]
    known += ["batch_size", "max_length", "max_gen_toks", "template"]
    for name in unknown:
        meant = did_you_mean(name, known)
        raise ValueError(f"minillama has no model argument {name!r}: {meant}known are {', '.join(known)}")
    if (llm is None) == (pretrained is None):
        raise ValueError("give one model: MinillamaLM(llm), or pretrained=NAME in the model arguments")


def _rows(batch_size: int | str | None) -> int:
    """How many sequences run together."""
    text = str(batch_size).partition(":")[0]
    if text in ("None", "auto", "1"):
        return BATCH_SIZE
    if not text.isascii() or not text.isdigit() or not 0 < len(text) < 6:
        raise ValueError(f"batch_size must be a whole number or auto, not {batch_size!r}")
    return int(text)


@contextmanager
def _bar(what: str, is_quiet: bool) -> Iterator[ProgressCallback]:
    """The harness's bar, in tokens: requests take unequally long."""
    from tqdm import tqdm

    with tqdm(desc=f"Running {what}", unit="token", unit_scale=True, disable=is_quiet) as bar:

        def show(progress: Progress) -> None:
            bar.total = progress.total
            bar.update(progress.done - bar.n)

        yield show
