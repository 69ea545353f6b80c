"""Puts the chat model of a finished run of the recipe inside the package, measured as it ships, with its card.

    minillama align --out RUN                      # 75 minutes
    minillama pull smollm2-135m-instruct           # once: it reads the answers, too
    python benchmarks/ship_chat_model.py RUN       # some minutes; resumed by the same command

What is written: `stories3M-chat.gguf` (the weights of RUN/chat.gguf bit by bit, with name and licence),
`stories3M-chat.json` (what was measured) and `stories3M-chat.md` (the card made of it) in minillama/stories/, and size
and sum in minillama/checkpoints/hub/registry.py. To commit them is to ship the model; `--card` writes the card again
from figures that are there.

The file is measured on requests of the test split that no report has drawn, in float32 arithmetic on its 8-bit weights,
beside the fine-tuned model that every later stage began from.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chat_model_card import card

import minillama
from minillama.alignment.ghost_attention import RetentionSettings, measure_retention, retention_rows
from minillama.alignment.models import ChatModel
from minillama.alignment.recipe.pipeline import RecipeFolder
from minillama.alignment.recipe.report.measuring import event_change, rates_of_stage
from minillama.alignment.recipe.settings import command_again, own_settings, read_recipe
from minillama.alignment.recipe.steps.reader import read_by_another
from minillama.alignment.recipe.steps.retention import lines_of, scenes_of
from minillama.alignment.rollouts import sample_answers
from minillama.alignment.story_world import EVERYTHING, BaseFluency, Judge, Request, draw_requests, judge_rules
from minillama.checkpoints.gguf import read_gguf, write_gguf
from minillama.files.atomic import atomic_write

NAME = "stories3M-chat"
MOST_BYTES = 4_000_000
SFT, SHIPPED = "SFT", "shipped"
TURNS = (2, 4, 6, 10, 20)
SEED = 20_250_000  # of requests and dialogues that no report of a run has drawn
ABOUT = (
    "stories3M aligned by the stages of LLaMA 2 in a small world of stories; card: minillama/stories/stories3M-chat.md"
)

PACKAGE = Path(minillama.__file__).parent
REGISTRY = PACKAGE / "checkpoints" / "hub" / "registry.py"
_REGISTERED = re.compile(rf'(name="{NAME}",.*?n_bytes=)[\d_]+(,.*?sha256=)(?:None|"[0-9a-f]+")', re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="folder of `minillama align --out`")
    parser.add_argument("--requests", type=int, default=3000, help="of the test split")
    parser.add_argument(
        "--dialogues", type=int, default=100, help="of 20 turns, with seen and with unseen personas each"
    )
    parser.add_argument("--into", type=Path, default=PACKAGE / "stories", help="elsewhere: the registry stays as it is")
    parser.add_argument("--note", default="", help="what else is to be said of how the run was made")
    parser.add_argument("--card", action="store_true", help="write the card again, and nothing else")
    options = parser.parse_args()
    figures_path = options.into / f"{NAME}.json"
    if options.card:
        write(options.into / f"{NAME}.md", card(json.loads(figures_path.read_text("utf-8"))))
        return
    if options.run is None:
        parser.error("give the folder of a finished run")
    options.into.mkdir(parents=True, exist_ok=True)
    work = options.run / "shipping"
    work.mkdir(exist_ok=True)
    file = work / f"{NAME}.gguf"
    made_from(options.run, file)
    figures = {
        "file": described(file),
        "run": about_run(options.run) | {"note": options.note},
        "measured": measured(options.run, file, work, options.requests, options.dialogues),
    }
    figures = json.loads(json.dumps(figures))  # as whoever reads it again sees it
    put(options.into / file.name, file.read_bytes())
    write(figures_path, json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    write(options.into / f"{NAME}.md", card(figures))
    if options.into == PACKAGE / "stories":
        register(figures["file"])
    print(f"{options.into / file.name}: {figures['file']['bytes']:,} bytes, sha256 {figures['file']['sha256']}")


def step_folder(run: Path, name: str) -> Path:
    """The folder of a step that is over."""
    found = [path for path in sorted(run.glob(f"[0-9][0-9]-{name}")) if (path / "done.json").exists()]
    if len(found) != 1:
        sys.exit(f"{run} has no finished step {name}: minillama align --out {run} --resume goes on to its end")
    return found[0]


def fine_tuned(run: Path) -> Path:
    """The folder of what every later stage began from: the last round of verified answers, or plain fine-tuning."""
    names = [path.name.partition("-")[2] for path in sorted(run.glob("[0-9][0-9]-*"))]
    return step_folder(run, [name for name in names if name == "sft" or name.startswith("verified")][-1])


def made_from(run: Path, file: Path) -> None:
    """The run's chat model under its own name, with licence; weights, tokenizer and chat format as they are."""
    found = read_gguf(step_folder(run, "chat") / "chat.gguf")
    tokenizer = {key: value for key, value in found.metadata.items() if key.startswith("tokenizer.")}
    general = {"general.license": "mit", "general.description": ABOUT}
    write_gguf(file, found.config, found.params, name=NAME, tokenizer_metadata=tokenizer, general_metadata=general)
    if file.stat().st_size > MOST_BYTES:
        sys.exit(f"{file} has {file.stat().st_size:,} bytes: what ships inside has at most {MOST_BYTES:,}")


def described(file: Path) -> dict[str, Any]:
    config = read_gguf(file).config
    shape = ("dim", "n_layers", "n_heads", "n_kv_heads", "hidden_dim", "vocab_size", "max_seq_len", "rope_theta")
    return {
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "config": {name: getattr(config, name) for name in shape},
    }


def about_run(run: Path) -> dict[str, Any]:
    """What made it: settings, seconds, and what the run's own report says of every stage."""
    settings = read_recipe(RecipeFolder(run).settings)
    recipe = settings.recipe
    report = json.loads((step_folder(run, "report") / "card.json").read_text("utf-8"))
    seconds = {one["step"]: {"wall": one["wall"], "cpu": one["cpu"]} for one in report["seconds"]}
    shown = [name for name in report["main"] if name in report["stages"][-1]["rates"]]
    stages = [
        {"name": one["name"], "rates": {m: one["rates"][m] for m in shown if m in one["rates"]}}
        for one in report["stages"]
    ]
    return {
        "preset": recipe.preset,
        "seed": recipe.seed,
        "threads": recipe.threads,
        "model": recipe.model,
        "text": Path(recipe.text).name,
        "again": command_again(settings, model=Path(recipe.model).name, text="STORIES"),
        "own settings": own_settings(settings),
        "seconds": seconds,
        "stages": stages,
        "wins": report["wins"],
        "reward_models": [{k: one[k] for k in ("name", "accuracy")} for one in report["reward_models"]],
        "rank": report["rank"],
    }


def measured(run: Path, file: Path, work: Path, n_requests: int, n_dialogues: int) -> dict[str, Any]:
    """The file, and the fine-tuned model, on the test split; answers are kept in `work` as they come."""
    recipe = read_recipe(RecipeFolder(run).settings).recipe
    models = {
        SFT: ChatModel.load(fine_tuned(run) / "model", recipe.chat),
        SHIPPED: ChatModel.load(file, recipe.chat),
    }
    requests = draw_requests("test", n_requests, SEED, EVERYTHING)
    base = ChatModel.load(recipe.model, recipe.chat)
    judge = Judge(BaseFluency(base.params, base.config, base.tokenizer), judge_rules())
    texts, judged, rates = {}, {}, {}
    for name, model in models.items():
        texts[name], judged[name] = answered(model, requests, judge, work / f"{name}.answers.jsonl", recipe.max_tokens)
        rates[name] = rates_of_stage(requests, texts[name], judged[name])
        print(f"{name}: {len(requests)} answers", flush=True)
    reader = read_by_another(requests, texts, (SFT, SHIPPED))
    for name, figure in reader.pop("rates", {}).items():
        rates[name][reader["measure"]] = figure
    return {
        "requests": n_requests,
        "dialogues": n_dialogues,
        "temperature": 0.7,
        "rates": rates,
        "event_change": event_change(requests, judged[SFT], judged[SHIPPED]),
        "reader": reader,
        "adherence": [line for name, model in models.items() for line in kept(name, model, n_dialogues, work)],
    }


def answered(
    model: ChatModel, requests: Sequence[Request], judge: Judge, journal: Path, max_tokens: int
) -> tuple[list[str], list[Any]]:
    prompts = [request.prompt() for request in requests]
    found = sample_answers(model, prompts, temperature=0.7, seed=SEED, max_tokens=max_tokens, journal=journal)
    texts = [one.text for (one,) in found]
    return texts, judge.judge(requests, texts, [one.ended for (one,) in found])


def kept(name: str, model: ChatModel, n: int, work: Path) -> list[dict[str, Any]]:
    """Ghost Attention's test: shares by turn, with intervals."""
    if not n:
        return []
    scenes = scenes_of(n, SEED, max(TURNS))
    settings = RetentionSettings(turns=TURNS, max_tokens=64, when_full="stop", seed=SEED)
    replies = measure_retention(model, scenes, settings, journal=work / f"{name}.retention.jsonl")
    print(f"{name}: {len(scenes)} dialogues", flush=True)
    return [{"model": name, **line} for line in lines_of(retention_rows(scenes, replies))]


def register(file: dict[str, Any]) -> None:
    """Size and sum into the table of known models."""
    source = REGISTRY.read_text("utf-8")
    changed, n = _REGISTERED.subn(rf'\g<1>{file["bytes"]:_}\g<2>"{file["sha256"]}"', source, count=1)
    if n != 1:
        sys.exit(f"{REGISTRY} has no entry {NAME} with n_bytes and sha256")
    write(REGISTRY, changed)


def write(path: Path, text: str) -> None:
    put(path, text.encode("utf-8"))


def put(path: Path, data: bytes) -> None:
    with atomic_write(path) as opened:
        opened.write(data)


if __name__ == "__main__":
    main()
