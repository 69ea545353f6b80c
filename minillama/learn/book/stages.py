"""What every stage of alignment left behind, small enough to come with the book: chapters 15 to 20 load it from here.

    base                 stories3M, before alignment                                      minillama/stories
    sft                  after supervised fine-tuning: what every later stage began from  stages/sft.gguf
    reward-helpful       reward models: a folder each, packed weights with the            stages/reward-helpful/
    reward-safety        head in float32 beside them                                      stages/reward-safety/
    rejection-sampling   after both rounds of the best of N answers                       stages/rejection-sampling.gguf
    ppo                  after PPO against both reward models                             stages/ppo.gguf
    chat                 after Ghost Attention: stories3M-chat, as `minillama chat` has it   minillama/stories

They are of one run. `python benchmarks/ship_stages.py RUN` packed them, and notebooks/stages/stages.json says with
which command each was made, and what packing cost. Loaded they are float32, ready to be trained further.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

from ...alignment.conversations import conversation_of
from ...alignment.models import ChatModel
from ...alignment.reward import Scorer, read_scorer
from ...alignment.rollouts import answer_logprobs
from ...checkpoints.hub import locate
from ...checkpoints.hub.downloads import file_sha256
from ..workspace.book_files import book_files
from ..workspace.learners_file import WorkspaceError

FOLDER, RECORD = "stages", "stages.json"
CHAT = "llama-2"  # the format of all of them
_AGAIN = "install minillama again, or in a clone: git checkout notebooks/stages minillama/stories"

Policy = Literal["base", "sft", "rejection-sampling", "ppo", "chat"]
Reward = Literal["reward-helpful", "reward-safety"]


@overload
def load_stage(name: Policy) -> ChatModel: ...
@overload
def load_stage(name: Reward) -> Scorer: ...
def load_stage(name: str) -> ChatModel | Scorer:
    """The model of a stage by its name, in float32: a chat model, or the scorer of a reward model.

    Raises
    ------
    WorkspaceError
        When there is no such stage, or its files are not here or not those that were shipped.
    """
    stages = shipped_stages()["stages"]
    if name not in stages:
        raise WorkspaceError(f"there is no stage {name!r}: {', '.join(stages)}")
    found = {file: checked(name, path_of(file), entry) for file, entry in stages[name]["files"].items()}
    first = next(iter(found.values()))
    if not name.startswith("reward-"):
        return ChatModel.load(first, CHAT)
    model = ChatModel.load(first.parent, CHAT)  # the backbone, for the tokenizer beside it
    return read_scorer(first.parent, model.config, tokenizer=model.tokenizer, chat=model.chat)


def shipped_stages() -> dict[str, Any]:
    """What stages.json has: the run, and for each stage its files, the command that made it and what was measured.

    Raises
    ------
    WorkspaceError
        When it is not here, or damaged.
    """
    path = path_of(f"{FOLDER}/{RECORD}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkspaceError(f"{path} cannot be read ({error}): {_AGAIN}") from error
    assert isinstance(found, dict)
    return found


def path_of(file: str) -> Path:
    """Where a file of a stage lies: one of the book by its path there, or one of minillama/stories by its name.

    Raises
    ------
    WorkspaceError
        When it is not here.
    """
    path = book_files().get(file) if "/" in file else locate(file.removesuffix(".gguf"))
    if path is None:
        raise WorkspaceError(f"{file} did not come with this installation: {_AGAIN}")
    return path


def checked(stage: str, path: Path, entry: Mapping[str, Any]) -> Path:
    """The path of a file that is the one that was shipped."""
    try:
        is_it = path.stat().st_size == entry["bytes"] and file_sha256(path) == entry["sha256"]
    except OSError as error:
        raise WorkspaceError(f"{path} of the stage {stage} cannot be read ({error.strerror}): {_AGAIN}") from error
    if not is_it:
        raise WorkspaceError(
            f"{path} is not the file of the stage {stage} that was shipped: expected {entry['bytes']:,} bytes with "
            f"sha256 {entry['sha256'][:12]}…; {_AGAIN}"
        )
    return path


def opinion_of(model: ChatModel | Scorer, dialogue: Sequence[Mapping[str, str]]) -> float:
    """One number that a model has for the answer at the end of a dialogue: its score, or its nats a token."""
    if isinstance(model, Scorer):
        return model.score(list(dialogue))
    conversation = conversation_of(list(dialogue), model.chat, model.tokenizer)
    (logprobs,) = answer_logprobs(model.params, model.config, [conversation])
    return -float(logprobs.mean())
