"""What a model answers to dialogues, kept on disk as it comes: a run that was killed goes on where it was.

`answers.jsonl` in the folder of a run has a line an answer, under the sha256 of its dialogue; a line that was torn by
a kill is cut off. `model.json` says whose answers they are: another model, arithmetic (the number of threads too),
seed or length is refused, never mixed.
Greedy by default. Rows of a batch are drawn with a seed of their own from the dialogue's hash, so that neither order
nor batch size changes an answer (on the path of integer products to the last bit, see `llm.generate_batch`).

A model without a chat template is given the turns as lines of text, which it continues.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...files.atomic import atomic_write
from ...files.lock import open_locked
from ...inference.batch import Batch, BatchRow
from ...inference.generate import GeneratedSequence
from ...inference.sampling import Sampling
from ...inference.session import Session
from ...inference.text import TextStream, ends_of, generation_of
from ..common.dialogue import Dialogue
from ..engine.origin import origin_of
from . import journal

if TYPE_CHECKING:
    from ...llm import LLM

Progress = Callable[[int, int], None]
"""progress(answers done, answers in all)"""
_ROWS = 32


@dataclass(frozen=True)
class Writing:
    """How answers are generated.

    Attributes
    ----------
    max_tokens : int
    temperature : float
        0 takes the most probable token each time.
    seed : int
        Of what is drawn, where the temperature is above 0.
    system : str or None
        A system message before each dialogue; None leaves the template's own.
    """

    max_tokens: int = 128
    temperature: float = 0.0
    seed: int = 0
    system: str | None = None


def dialogue_key(dialogue: Dialogue) -> str:
    """sha256 of a dialogue."""
    turns = [[message["role"], message["content"]] for message in dialogue]
    return hashlib.sha256(json.dumps(turns, ensure_ascii=True).encode()).hexdigest()


class Answers:
    """The answers of one model in a folder.

    Parameters
    ----------
    llm : LLM
    folder : Path
        Made if it is not there.
    writing : Writing

    Raises
    ------
    ValueError
        The folder holds the answers of another model, or to other settings.
    """

    def __init__(self, llm: LLM, folder: Path, writing: Writing) -> None:
        self.llm, self.writing, self.path = llm, writing, folder / "answers.jsonl"
        self.has_template = _has_template(llm)
        folder.mkdir(parents=True, exist_ok=True)
        origin = origin_of(llm, llm.runner)
        self.settings = {"name": llm.name, **origin, **asdict(writing)}
        _check_settings(folder / "model.json", self.settings)
        fields = {"dialogue": str, "answer": str}
        self.known = {row["dialogue"]: row["answer"] for row in journal.read(self.path, fields)}

    def to(self, dialogues: Sequence[Dialogue], progress: Progress | None = None) -> list[str]:
        """The answer to each dialogue, in order; those that are not known yet are generated.

        A dialogue that does not fit into the model's context gets the empty answer.

        Raises
        ------
        LockedError
            Another process adds answers to this folder.
        """
        keys = [dialogue_key(dialogue) for dialogue in dialogues]
        missing = {key: dialogue for key, dialogue in zip(keys, dialogues) if key not in self.known}
        total, done = len(set(keys)), len(set(keys)) - len(missing)
        with open_locked(self.path.with_name(".lock"), "asks a model"):
            for key, text in self._generated(missing):
                journal.append(self.path, {"dialogue": key, "answer": text})
                self.known[key] = text
                done += 1
                if progress is not None:
                    progress(done, total)
        return [self.known[key] for key in keys]

    def _generated(self, dialogues: dict[str, Dialogue]) -> Iterable[tuple[str, str]]:
        """Answers as they are ready."""
        prompts = {key: self._ids(dialogue) for key, dialogue in dialogues.items()}
        room = self.llm.config.max_seq_len
        yield from ((key, "") for key, ids in prompts.items() if len(ids) > room)
        fitting = {key: ids for key, ids in prompts.items() if len(ids) <= room}
        batch = Batch(
            self.llm.runner,
            Sampling(temperature=self.writing.temperature),
            max_tokens=self.writing.max_tokens,
            stop_ids=self._stop_ids(),
            n_ids=self.llm.tokenizer.vocab_size,
            max_rows=_ROWS,
        )
        rows = batch.add(list(fitting.values()), [_row_seed(self.writing.seed, key) for key in fitting])
        names = {id(row): key for key, row in zip(fitting, rows)}
        ended = [row for row in rows if row.finish_reason is not None]  # no token is wanted
        while ended or len(batch):
            for row in ended:
                yield names[id(row)], self._text(row)
            ended = batch.step() if len(batch) else []

    def _text(self, row: BatchRow) -> str:
        before = [] if self.has_template else row.prompt
        written = GeneratedSequence(row.ids, row.logprobs, row.sampled_logprobs, row.finish_reason or "length")
        return generation_of(written, before, self.llm.tokenizer, keep_stop=False).text.strip()

    def _ids(self, dialogue: Dialogue) -> list[int]:
        system = [{"role": "system", "content": self.writing.system}] if self.writing.system else []
        messages = [*system, *dialogue]
        if self.has_template:
            return self.llm.chat_template().encode(messages, self.llm.tokenizer)
        return self.llm.encode_prompt(_as_lines(messages))

    def _stop_ids(self) -> frozenset[int]:
        tokenizer = self.llm.tokenizer
        ends = self.llm.chat_template().stop_ids(tokenizer) if self.has_template else ends_of(tokenizer)
        return self.llm.stop_ids | ends


def stream_answer(llm: LLM, dialogue: Dialogue, writing: Writing, session: Session | None = None) -> TextStream:
    """The answer to a dialogue, piece by piece, for a person who waits for it.

    Parameters
    ----------
    llm : LLM
    dialogue : Dialogue
    writing : Writing
    session : Session, optional
        Keep one over a conversation: only what is new is computed.
    """
    system = [{"role": "system", "content": writing.system}] if writing.system else []
    messages = [*system, *dialogue]
    options: dict[str, Any] = {"max_tokens": writing.max_tokens, "seed": writing.seed, "session": session}
    sampling = Sampling(temperature=writing.temperature)
    if _has_template(llm):
        return llm.chat_stream(messages, sampling=sampling, **options)
    return llm.stream(_as_lines(messages), sampling=sampling, **options)


def _as_lines(messages: Dialogue) -> str:
    """A dialogue for a model without a chat template."""
    return "\n".join(message["content"] for message in messages) + "\n"


def _has_template(llm: LLM) -> bool:
    try:
        llm.chat_template()
    except ValueError:
        return False
    return True


def _row_seed(seed: int, key: str) -> int:
    return int(hashlib.sha256(f"{seed}\0{key}".encode()).hexdigest()[:15], 16)


def _check_settings(path: Path, settings: dict[str, Any]) -> None:
    """Write the settings of a new folder; refuse other ones."""
    if not path.exists():
        with atomic_write(path) as file:
            file.write(json.dumps(settings, indent=2).encode() + b"\n")
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}); take another folder or remove this one") from error
    found = found if isinstance(found, dict) else {}
    other = [name for name in settings if name != "name" and found.get(name) != settings[name]]
    if other:
        raise ValueError(
            f"{path.parent} holds answers with another {other[0]} ({found.get(other[0])!s:.120}, now "
            f"{settings[other[0]]!s:.120}): take another folder, or the same model and settings"
        )
