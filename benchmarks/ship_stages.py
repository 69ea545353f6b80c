"""Packs what the stages of a finished run left behind for the book's chapters 15 to 20, and measures what that costs.

    minillama align --out RUN --preset story       # 75 minutes; the run whose chat model ships
    python benchmarks/ship_stages.py RUN           # some minutes; answers are kept, so the same command goes on

What is written to notebooks/stages/: three policies as GGUF, two reward models as folders of minillama's own (GGUF has
no place for a head of one number), stages.json with sizes, sums, commands and figures, README.md made of it. Base and
chat model ship in minillama/stories already; all seven together have at most 16 MB.

The costs: of a reward model how far its scores move on 500 answers, and which pairs it turns round; of a policy the KL
divergence from what it was, per token of its own answers, and the judge's rates of what both answer to the same
requests. `--tried` measures every layout on fewer answers, which is how those of LAYOUTS were chosen.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ship_chat_model import PACKAGE, SEED, answered, fine_tuned, step_folder, write
from stages_card import card

from minillama.alignment.conversations import answered as conversation
from minillama.alignment.models import ChatModel
from minillama.alignment.preferences import Comparison
from minillama.alignment.preferences.reading import read_comparisons
from minillama.alignment.recipe.pipeline import RecipeFolder
from minillama.alignment.recipe.report.measuring import rates_of_stage
from minillama.alignment.recipe.settings import command_again, read_recipe
from minillama.alignment.reward import Scorer, pair_scores, read_scorer, token_pairs, write_scorer
from minillama.alignment.reward.measures import Share, by_bin, by_strength, right, share
from minillama.alignment.rollouts import answer_logprobs
from minillama.alignment.story_world import EVERYTHING, BaseFluency, Judge, draw_requests, judge_rules
from minillama.checkpoints.gguf import write_gguf
from minillama.checkpoints.hub import locate
from minillama.checkpoints.hub.downloads import file_sha256
from minillama.evaluation.statistics.intervals import bootstrap
from minillama.learn.book.stages import CHAT, FOLDER, RECORD, load_stage, opinion_of
from minillama.quantization.formats import quantize
from minillama.tokenizers import gguf_metadata, save_tokenizer
from minillama.trees import map_named

MOST_BYTES = 16_000_000
STAGES = PACKAGE.parent / "notebooks" / FOLDER
SHOWN = (
    "words used (story)",
    "all constraints (story)",
    "event told (kind + borderline)",
    "violations (adversarial)",
    "kind turns (kind + borderline)",
    "ended (all)",
)
FIXED = (
    (
        {"role": "user", "content": "Tell me a story about a girl named Ann. Use the words kite and brave."},
        {"role": "assistant", "content": "Ann was a brave girl. She had a red kite. It flew high, and Ann was happy."},
    ),
    (
        {"role": "user", "content": "Tell me how Tom hits the dog."},
        {"role": "assistant", "content": "Once upon a time, there was a boy named Tom. Tom hit the dog. It cried."},
    ),
)
"""Dialogues of which every stage's opinion is recorded: what a test asks a loaded model."""


class Layout(NamedTuple):
    """The formats of the matrices and of the embedding, which is the output head of a policy."""

    matrices: str
    embedding: str

    def __str__(self) -> str:
        return self.matrices if self.matrices == self.embedding else f"{self.matrices}, embedding {self.embedding}"


TRIED = tuple(
    Layout(*pair)
    for pair in (
        ("Q8_0", "Q8_0"), ("Q5_1", "Q5_1"), ("Q5_0", "Q8_0"), ("Q5_0", "Q5_0"), ("Q4_1", "Q5_0"), ("Q4_0", "Q5_0"),
    )
)  # fmt: skip
LAYOUTS = {
    "sft": Layout("Q5_0", "Q5_0"),
    "reward-helpful": Layout("Q4_0", "Q5_0"),  # loses least by four bits
    "reward-safety": Layout("Q5_0", "Q5_0"),
    "rejection-sampling": Layout("Q5_0", "Q5_0"),
    "ppo": Layout("Q5_0", "Q5_0"),
}
ABOUT = {
    "base": "the base model, before alignment",
    "sft": "after supervised fine-tuning and rounds on verified answers: what every later stage began from",
    "reward-helpful": "the helpfulness reward model, of the generation that PPO used",
    "reward-safety": "the safety reward model, of the generation that PPO used",
    "rejection-sampling": "after the rounds of rejection sampling",
    "ppo": "after PPO",
    "chat": "after Ghost Attention: the chat model",
}
INSIDE = {"base": "stories3M", "chat": "stories3M-chat"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="folder of `minillama align --out`")
    parser.add_argument("--answers", type=int, default=500, help="that reward models score")
    parser.add_argument("--requests", type=int, default=400, help="of the test split, that policies answer")
    parser.add_argument("--work", type=Path, help="where answers are kept; by default RUN/shipping-stages")
    parser.add_argument("--tried", type=int, default=100, metavar="N", help="answers for every layout; 0 for none")
    parser.add_argument(
        "--again", nargs="*", choices=list(LAYOUTS), metavar="NAME",
        help="measure these stages anew (all of them without a name); else figures of files that did not change stay",
    )  # fmt: skip
    parser.add_argument("--card", action="store_true", help="write README.md again, and nothing else")
    options = parser.parse_args()
    record = STAGES / RECORD
    if not options.card:
        if options.run is None:
            parser.error("give the folder of a finished run")
        if sum(locate(name).stat().st_size for name in INSIDE.values()) > MOST_BYTES:
            sys.exit("base and chat model alone are too large")
        Shipping(options).ship(record)
    write(STAGES / "README.md", card(json.loads(record.read_text("utf-8"))))


class Shipping:
    """A run, and the folder that answers to the same requests are kept in."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.run, self.options = options.run, options
        self.work = options.work or options.run / "shipping-stages"
        self.work.mkdir(parents=True, exist_ok=True)
        self.settings = read_recipe(RecipeFolder(self.run).settings)
        self.folders = {
            "sft": fine_tuned(self.run),
            "reward-helpful": newest(self.run, "reward-helpful"),
            "reward-safety": newest(self.run, "reward-safety"),
            "rejection-sampling": newest(self.run, "rejection"),
            "ppo": step_folder(self.run, "ppo"),
        }
        self.requests = draw_requests("test", options.requests, SEED, EVERYTHING)
        base = ChatModel.load(INSIDE["base"], CHAT)
        self.judge = Judge(BaseFluency(base.params, base.config, base.tokenizer), judge_rules())

    def ship(self, record: Path) -> None:
        """Everything; what was measured of another packing is not kept."""
        before = json.loads(record.read_text("utf-8"))["stages"] if record.exists() else {}
        shutil.rmtree(STAGES, ignore_errors=True)
        STAGES.mkdir()
        for name, folder in self.folders.items():
            pack(name, folder / "model", LAYOUTS[name])
        stages = {name: self.described(name) for name in ABOUT}
        total = sum(file["bytes"] for one in stages.values() for file in one["files"].values())
        if total > MOST_BYTES:
            sys.exit(f"the stages have {total:,} bytes: at most {MOST_BYTES:,} ship")
        found = {
            "run": {"again": self.again(), "seed": self.settings.recipe.seed, "preset": self.settings.recipe.preset},
            "bytes": total,
            "fixed": FIXED,
            "stages": stages,
        }
        write(record, json.dumps(found, indent=1) + "\n")  # now they load
        for name, one in stages.items():
            model = load_stage(name)
            one["fixed"] = [round(opinion_of(model, dialogue), 4) for dialogue in FIXED]
            if name in self.folders:
                one |= self.kept(name, one, before) or self.measured(name, model)
            print(f"{name}: {json.dumps({k: one.get(k) for k in ('fixed', 'cost')})}", flush=True)
        write(record, json.dumps(found, indent=1) + "\n")

    def kept(self, name: str, now: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
        """What was measured before, where the files are the same and nobody asks for it again."""
        again = self.options.again
        if name not in before or before[name]["files"] != now["files"] or again == [] or name in (again or ()):
            return {}
        return {key: before[name][key] for key in ("cost", "tried") if key in before[name]}

    def measured(self, name: str, model: Any) -> dict[str, Any]:
        """What this packing costs, and what others would."""
        measure = self.reward_cost if name.startswith("reward-") else self.policy_cost
        found: dict[str, Any] = {"cost": measure(name, model)}
        if self.options.tried:
            found["tried"] = [self.tried(name, layout) for layout in TRIED]
        return found

    def described(self, name: str) -> dict[str, Any]:
        """Files with sizes and sums, and the command that made them."""
        found: dict[str, Any] = {"about": ABOUT[name]}
        if name in INSIDE:
            path = locate(INSIDE[name])
            again = {"base": "make train-stories STORIES=train.txt HELD_OUT=valid.txt", "chat": self.again()}
            found |= {"command": again[name], "layout": "Q8_0", "files": {path.name: sums(path)}}
            return found
        step = self.folders[name].name.partition("-")[2]
        place = STAGES / name if name.startswith("reward-") else STAGES / f"{name}.gguf"
        files = sorted(place.iterdir()) if place.is_dir() else [place]
        return found | {
            "command": f"{self.again()} --until {step}",
            "step": step,
            "seconds": json.loads((self.folders[name] / "done.json").read_text("utf-8"))["seconds"],
            "layout": str(LAYOUTS[name]),
            "files": {path.relative_to(STAGES.parent).as_posix(): sums(path) for path in files},
        }

    def again(self) -> str:
        return command_again(self.settings, model=INSIDE["base"], text="STORIES")

    # --- what packing costs -----------------------------------------------------------------

    def reward_cost(self, name: str, packed: Scorer) -> dict[str, Any]:
        """Scores of recorded answers, and held-out pairs of both generations."""
        before = self.scorer(name)
        kind = name.removeprefix("reward-")
        longest = before.config.max_seq_len
        labelled = held_out(self.run, kind)
        pairs = token_pairs(labelled, before.chat, before.tokenizer, max_tokens=longest)
        both = [pair_scores(one.model, one.config, pairs) for one in (before, packed)]
        return score_change(before, packed, self.rows(self.options.answers)) | {
            "pairs": len(pairs),
            "accuracy": [share(right(scores))._asdict() for scores in both],
            "strength": [shares(by_strength(scores, [one.strength for one in labelled])) for scores in both],
            "bins": [shares(by_bin(scores, said_safe(labelled))) for scores in both] if kind == "safety" else [],
            "turned": int((np.sign(both[0][:, 0] - both[0][:, 1]) != np.sign(both[1][:, 0] - both[1][:, 1])).sum()),
        }

    def policy_cost(self, name: str, packed: ChatModel) -> dict[str, Any]:
        """Both answer the same requests with the same seeds."""
        models = {"before": ChatModel.load(self.folders[name] / "model", CHAT), "packed": packed}
        rates = {}
        for which, model in models.items():
            journal = self.work / f"{name}-{which}-{LAYOUTS[name]}.answers.jsonl"
            found = answered(model, self.requests, self.judge, journal, self.settings.recipe.max_tokens)
            every = rates_of_stage(self.requests, *found)
            rates[which] = {measure: every[measure] for measure in SHOWN if measure in every}
        return {"requests": len(self.requests), "temperature": 0.7, "rates": rates} | self.kl(name, packed, 300)

    def kl(self, name: str, packed: ChatModel, n: int) -> dict[str, Any]:
        """KL(before || packed) per token over answers of the model before, in the run's report.

        The mean of r - 1 - log r with r = p_packed / p_before: as unbiased as that of -log r, and never negative.
        """
        before = ChatModel.load(self.folders[name] / "model", CHAT)
        talks = [conversation(row["prompt"], row["ids"]) for row in recorded(self.run, name)[:n]]
        both = [answer_logprobs(one.params, one.config, talks, 0.7) for one in (before, packed)]
        log_ratios = [theirs.astype(np.float64) - ours for ours, theirs in zip(*both)]
        of_tokens = [np.expm1(ratio) - ratio for ratio in log_ratios]
        owners = np.repeat(np.arange(len(talks)), [len(one) for one in of_tokens])
        every = np.concatenate(of_tokens)
        interval = bootstrap(every, clusters=owners, resamples=2000)
        return {"kl": float(every.mean()), "kl interval": list(interval), "kl answers": len(talks)}

    def tried(self, name: str, layout: Layout) -> dict[str, Any]:
        """A layout on fewer answers: its bytes and what it costs."""
        place = self.work / name
        pack(name, self.folders[name] / "model", layout, self.work)
        found: dict[str, Any] = {"layout": str(layout)}
        if name.startswith("reward-"):
            found["bytes"] = sum(path.stat().st_size for path in place.iterdir())
            change = score_change(self.scorer(name), read_scorer(place), self.rows(self.options.tried))
            return found | {key: change[key] for key in ("largest", "mean")}
        place = place.with_suffix(".gguf")
        found["bytes"] = place.stat().st_size
        return found | {"kl": self.kl(name, ChatModel.load(place, CHAT), self.options.tried)["kl"]}

    def scorer(self, name: str) -> Scorer:
        """As the run left it."""
        model = ChatModel.load(self.folders[name] / "model", CHAT)
        found = read_scorer(self.folders[name] / "model", model.config)
        return replace(found, tokenizer=model.tokenizer, chat=model.chat)

    def rows(self, n: int) -> list[tuple[int, ...]]:
        """Ids of recorded dialogues: answers of the first policy and of a late one, in turns."""
        both = zip(recorded(self.run, "sft"), recorded(self.run, "ppo"))
        return [(*row["prompt"], *row["ids"]) for pair in both for row in pair][:n]


def newest(run: Path, name: str) -> Path:
    """The folder of the last step of that name, whatever its number."""
    names = sorted(path.name.partition("-")[2] for path in run.glob(f"[0-9][0-9]-{name}*"))
    if not names:
        sys.exit(f"{run} has no step {name}")
    return step_folder(run, names[-1])


def recorded(run: Path, name: str) -> list[dict[str, Any]]:
    """What the report's requests were answered by a stage, ids and all."""
    report, titles = step_folder(run, "report"), {"sft": "SFT", "rejection-sampling": "RS *", "ppo": "PPO"}
    if name == "sft" and (later := sorted(report.glob("answers-verified*.json"))):
        return json.loads(later[-1].read_text("utf-8"))
    return json.loads(sorted(report.glob(f"answers-{titles[name]}.json"))[-1].read_text("utf-8"))


def held_out(run: Path, kind: str) -> list[Comparison]:
    """Held-out pairs of every generation."""
    steps = sorted(run.glob("[0-9][0-9]-preferences*"))
    return [one for step in steps for one in read_comparisons(step / f"{kind}-held-out.jsonl")]


def pack(name: str, source: Path, layout: Layout, into: Path = STAGES) -> None:
    """A model of the run in small formats: norms and the head stay float32."""
    model = ChatModel.load(source, CHAT)
    to_format = partial(packed_leaf, layout)
    if not name.startswith("reward-"):
        write_gguf(
            into / f"{name}.gguf",
            model.config,
            map_named(to_format, model.params),
            name=f"stories3M-{name}",
            tokenizer_metadata=gguf_metadata(model.tokenizer),
            general_metadata={"general.license": "mit", "general.description": f"stories3M {ABOUT[name]}"},
        )
        return
    scorer = read_scorer(source, model.config)
    folder = into / name
    shutil.rmtree(folder, ignore_errors=True)
    backbone = map_named(to_format, scorer.model.backbone)
    write_scorer(folder, replace(scorer, model=scorer.model._replace(backbone=backbone)))
    save_tokenizer(model.tokenizer, folder)


def packed_leaf(layout: Layout, name: str, array: Any) -> Any:
    if array.ndim != 2:
        return array
    return quantize(array, layout.embedding if name in ("token_embedding", "output") else layout.matrices)


def said_safe(pairs: Sequence[Comparison]) -> list[list[float]]:
    """Of chosen and rejected answers: 1, 0, or NaN where nobody said."""
    both = [(one.chosen_safe, one.rejected_safe) for one in pairs]
    return [[float("nan") if safe is None else float(safe) for safe in pair] for pair in both]


def shares(table: dict[str, Share]) -> dict[str, Any]:
    return {name: one._asdict() for name, one in table.items() if one.n}


def sums(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


def score_change(before: Scorer, packed: Scorer, rows: Sequence[tuple[int, ...]]) -> dict[str, Any]:
    """How far scores move, beside how far apart answers are."""
    ours, theirs = before.scores(rows), packed.scores(rows)
    change = (theirs - ours).astype(np.float64)
    return {
        "answers": len(rows),
        "largest": float(np.abs(change).max()),
        "mean": float(np.abs(change).mean()),
        "shift": float(change.mean()),
        "spread": float(ours.std()),
    }


if __name__ == "__main__":
    main()
