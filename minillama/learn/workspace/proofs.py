"""Proving the capstones: a real model answers, and one is trained, on nothing but the learner's functions.

    python -m minillama.learn.workspace.proofs

Each proof has a process of its own, because a function that passes its check may still take hours on a real model. It
reads a request as a line of JSON and answers with a line.

chat    SmolLM2 (or the chat model inside) answers a question: each token is the package's own choice, and all six
        layers that run a model are the learner's.
train   A small model is trained twice from the same seed on the same text, on the package's functions and on the
        learner's: all of a step is theirs, forward, backward, loss, clipping, AdamW, schedule. The losses agree and
        fall.

Where a function is missing, nothing runs, and it is said which one.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ...files.json_process import JsonProcess, ProcessEnded
from ..capstones import CHAT, TRAIN, Capstone
from ..chapters.catalogue import catalogue
from ..time_limit import is_over
from .blame import place_of_error
from .folder import Workspace, WorkspaceError, find_workspace

SECONDS = 300.0  # of computing, for one proof
_LOOK = 0.5
SHIPPED = "the 64 stories that ship inside"

Proof = dict[str, Any]
"""id, proved, said: a sentence; and figures of the proof."""


def prove(capstone: Capstone, workspace: Workspace, failing: Mapping[str, str], **more: Any) -> Proof:
    """Prove a capstone, within SECONDS of computing.

    Parameters
    ----------
    capstone : Capstone
    workspace : Workspace
    failing : mapping
        Exercise id to the reason, of those that have just been checked and did not pass.
    more
        model : str, of CHAT. text : str or None, the path of a text, of TRAIN.

    Returns
    -------
    proof : dict
    """
    process = JsonProcess([sys.executable, "-m", "minillama.learn.workspace.proofs"])
    begin = time.monotonic()
    said = ""
    try:
        process.send({"capstone": capstone.id, "folder": str(workspace.folder), "failing": dict(failing), **more})
        while not said:
            try:
                return process.receive(_LOOK) | {"id": capstone.id, "seconds": round(time.monotonic() - begin, 1)}
            except TimeoutError:
                if is_over(SECONDS, time.monotonic() - begin, process.cpu_seconds()):
                    said = f"stopped after {SECONDS / 60:.0f} minutes of computing: your functions are too slow for it"
    except ProcessEnded as end:
        last = process.written().decode(errors="replace").strip().rpartition("\n")[2]
        said = f"the program ended in the middle ({end}){f': {last}' if last else ''}"
    finally:
        process.close()
    return {"id": capstone.id, "proved": False, "said": said, "seconds": round(time.monotonic() - begin, 1)}


# --- in the other process -----------------------------------------------------------------

_QUESTIONS = {"stories3M-chat": "Tell me a story about a dog and a ball."}
_QUESTION, _LONGEST = "What is the capital of France?", 24
_NEAR = 1e-3  # of the largest logit: between two so near ones rounding may choose


def chat(workspace: Workspace, failing: Mapping[str, str], model: str) -> Proof:
    """A model answers on the learner's functions as on the package's."""
    from ...llm import load
    from .own_model import own_ops
    from .own_training import missing

    if left := missing(failing, catalogue().that_say("replaces")):
        return _not_yet(left)
    own = own_ops(workspace, failing=failing)
    llm = load(model)
    question = _QUESTIONS.get(model, _QUESTION)
    messages = [{"role": "user", "content": question}]
    expected = llm.chat(messages, max_tokens=_LONGEST, temperature=0, keep_stop=True)
    llm.use_ops(own.ops)
    session = llm.session()
    session.feed(llm.chat_template().encode(messages, llm.tokenizer))
    seconds = []
    for place, id in enumerate(expected.ids):
        logits = session.logits
        assert logits is not None
        best = float(logits.max())
        if not best - float(logits[id]) <= _NEAR * max(1.0, abs(best)):
            wrong = llm.tokenizer.token_text(int(np.argmax(logits)))
            return {"proved": False, "said": f"token {place} of the answer is {wrong!r} on your functions"}
        begin = time.perf_counter()
        session.step(id)
        seconds.append(time.perf_counter() - begin)
    speed = 1 / float(np.median(seconds))
    answer = expected.text.strip().partition("\n")[0]
    said = f"your own functions chat with {model} at {speed:.1f} tokens/s: {question} {answer}"
    return {"proved": True, "said": said, "model": model, "answer": answer, "tokens_per_second": round(speed, 2)}


_SETTINGS = """
[model]
dim = 64
n_layers = 2
n_heads = 4
n_kv_heads = 2
hidden_dim = 128
tied = true

[data]
sources = [{ path = "tokens", weight = 1.0 }]
tokenizer = "tokenizer"
seq_len = 64
batch_size = 4
micro_batches = 2

[schedule]
peak = 0.008
warmup_steps = 4

[run]
steps = 24
checkpoint_every = 24
"""
_LEAST_TOKENS = 300
_AGREE, _FALL = 1e-3, 0.85  # largest relative difference of a loss; the last losses as a share of the first


def train(workspace: Workspace, failing: Mapping[str, str], text: str | None) -> Proof:
    """A model is trained on the learner's functions as on the package's, on a text of theirs or one that ships."""
    from ...tokenizers import load_tokenizer, save_tokenizer
    from ...training.functions import PACKAGE
    from ...training.settings_toml import read_settings
    from .own_training import exercises_in_training, missing, own_training

    if left := missing(failing, exercises_in_training()):
        return _not_yet(left)
    own = own_training(workspace, n_micro=2, failing=failing)
    from ...checkpoints.hub.models import locate
    from ...data.shards.reading import write_shards

    story_teller = locate("stories3M")
    assert story_teller is not None
    tokenizer = load_tokenizer(story_teller)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = write_shards(_documents(text), tokenizer, folder / "tokens")
        if shards.n_tokens < _LEAST_TOKENS:
            return {"proved": False, "said": f"{text} has {shards.n_tokens} tokens; it takes {_LEAST_TOKENS} at least"}
        (folder / "tokenizer").mkdir()
        save_tokenizer(tokenizer, folder / "tokenizer")
        (folder / "settings.toml").write_text(_SETTINGS, encoding="utf-8")
        settings = read_settings(folder / "settings.toml")
        expected = _losses(settings, folder / "package", PACKAGE)
        losses = _losses(settings, folder / "own", own.functions)
    difference = float(np.max(np.abs(losses / expected - 1)))
    first, last = float(losses[0]), float(losses[-5:].mean())
    proved = difference <= _AGREE and last <= _FALL * first
    source = SHIPPED if text is None else Path(text).name
    words = f"loss {first:.2f} to {last:.2f} in {len(losses)} steps; the package's to {difference:.0e}"
    said = f"a storyteller trained on {source} with your own backward pass: {words}"
    if not proved:
        said = f"the losses are not the package's, or do not fall: {words}"
    return {"proved": proved, "said": said, "text": source, "losses": [round(float(loss), 5) for loss in losses]}


def _losses(settings: Any, folder: Path, functions: Any) -> Any:
    from ...training.pretraining import prepare
    from ...training.run_folder import RunFolder
    from ...training.trainer import train

    rows = _Rows()
    train(prepare(settings), RunFolder(folder), rows, functions=functions)
    return np.array(rows.losses)


class _Rows:
    """Keeps the losses of a run."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def begin(self, step: int, steps: int) -> None:
        pass

    def row(self, row: dict[str, Any]) -> None:
        self.losses.append(row["loss"])

    def note(self, text: str) -> None:
        pass


def _documents(text: str | None) -> Iterator[str]:
    from ...data.documents import read_texts

    if text is not None:
        yield from read_texts([Path(text)])
        return
    stories = resources.files("minillama") / "evaluation" / "bundled" / "stories_cloze" / "test.jsonl"
    for line in stories.read_text(encoding="utf-8").splitlines():
        story = json.loads(line)
        yield f"{story['beginning']} {story['endings'][story['label']]}"


def _not_yet(ids: list[str]) -> Proof:
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    return {"proved": False, "said": f"it needs {', '.join(ids[:3])}{more}"}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the learner's code prints
    request = json.loads(sys.stdin.readline())
    workspace, failing = find_workspace(Path(request["folder"])), request["failing"]
    try:
        if request["capstone"] == CHAT.id:
            proof = chat(workspace, failing, request["model"])
        else:
            assert request["capstone"] == TRAIN.id
            proof = train(workspace, failing, request.get("text"))
    except Exception as error:
        place = place_of_error(error, workspace.folder)
        if not place and not isinstance(error, WorkspaceError | ValueError | OSError):
            raise
        proof = {"proved": False, "said": f"your {place}: {type(error).__name__}: {error}" if place else str(error)}
    answers.write(json.dumps(proof) + "\n")
    answers.flush()
    os._exit(0)  # threads that the learner's code has started do not matter


if __name__ == "__main__":
    main()
