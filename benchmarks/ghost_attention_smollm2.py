"""Ghost Attention into SmolLM2-135M-Instruct, with personas that it lists itself, and the paper's test.

    python benchmarks/ghost_attention_smollm2.py --work FOLDER

    lists.json       hobbies and public figures, listed by the model
    before.jsonl …   the test before: with the instruction in the first message, and in every one
    stage/           dialogues and fine-tuning (`run_ghost_attention`)
    after.jsonl      the test after; with constraints that no dialogue of training has as rows of their own
    attention.png    one dialogue of the test, before and after
    results.json     everything that was counted, and CPU seconds

Everything is resumed by the same command after it was killed. `--small` makes two dialogues and one step, to see that
all of it runs.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from dataclasses import asdict, replace
from pathlib import Path

from minillama.alignment.ghost_attention import (
    SMOLLM2,
    Pools,
    RetentionSettings,
    SceneShape,
    chat_model_lists,
    draw_attention,
    draw_scenes,
    draw_tests,
    figure,
    filler_from,
    hobby,
    measure_retention,
    retention_rows,
    retention_table,
    run_ghost_attention,
    split_pools,
    system_attention,
)
from minillama.alignment.models import ChatModel
from minillama.alignment.recipe.people.talk import ASKED, FILLERS, MIXTURE, is_figure, is_hobby
from minillama.files.atomic import atomic_write


class Said:
    """Tells on stderr how far a stage is."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __call__(self, done: int, n: int) -> None:
        print(f"\r{self.what}: {done} of {n} ", end="" if done < n else "\n", file=sys.stderr, flush=True)

    def begin(self, step: int, steps: int) -> None:
        self.steps = steps

    def note(self, text: str) -> None:
        print(text, file=sys.stderr)

    def row(self, row) -> None:
        print(f"\rstep {row['step']} of {self.steps}, loss {row['loss']:.3f} ", end="", file=sys.stderr, flush=True)


def listed_pools(model: ChatModel, work: Path, small: bool) -> Pools:
    """Hobbies and figures in the model's own words, asked for once."""
    path = work / "lists.json"
    if not path.exists():
        lists = {}
        for kind, accepts in (("hobby", is_hobby), ("figure", is_figure)):
            found = chat_model_lists(
                model,
                ASKED[kind][:1] if small else ASKED[kind],
                n=8 if small else 60,
                accepts=accepts,
                least_times=1 if small else 2,
                answers_each=2 if small else 8,
                temperature=0.6,
                max_tokens=64 if small else 120,
                progress=Said(f"lists of kind {kind}"),
            )
            lists[kind] = [item if kind == "figure" else item.lower() for item in found]
        with atomic_write(path) as file:
            file.write(json.dumps(lists, indent=1, ensure_ascii=False).encode())
    lists = json.loads(path.read_text("utf-8"))
    return {"figure": [figure(item) for item in lists["figure"]], "hobby": [hobby(item) for item in lists["hobby"]]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for everything")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--dialogues", type=int, default=160)
    parser.add_argument("--tests", type=int, default=40, help="dialogues of the test, of each group")
    parser.add_argument("--max-seq-len", type=int, default=2048)
    parser.add_argument("--small", action="store_true", help="two dialogues and one step")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    small = args.small
    model = ChatModel.load(args.model, chat=None, max_seq_len=args.max_seq_len)
    seen, unseen = split_pools(listed_pools(model, args.work, small), 0.25, seed=0)
    settings = RetentionSettings(max_tokens=64, at_once=8)
    if small:
        settings = replace(settings, turns=(2, 3), max_tokens=16)
    n_tests, last = (1, 3) if small else (args.tests, 20)
    tests = [
        *draw_tests(seen, filler_from(FILLERS), n_tests, seed=1, last_turn=last, mixture=MIXTURE, group="seen"),
        *draw_tests(unseen, filler_from(FILLERS), n_tests, seed=1, last_turn=last, mixture=MIXTURE, group="unseen"),
    ]

    def measured(name: str, of: ChatModel, **changes):
        how = replace(settings, **changes)
        replies = measure_retention(of, tests, how, journal=args.work / f"{name}.jsonl", progress=Said(f"test {name}"))
        return retention_rows(tests, replies)

    arms = {"before": measured("before", model)}
    arms["before, in every message"] = measured("reminded", model, place="current")
    shape = SceneShape(2, 3, question_share=0.5) if small else SceneShape(2, 20, question_share=0.5)
    n_scenes = 2 if small else args.dialogues
    scenes = draw_scenes(seen, filler_from(FILLERS), n_scenes, seed=0, shape=shape, mixture=MIXTURE)
    stage = SMOLLM2
    outcome = run_ghost_attention(
        model,
        scenes,
        args.work / "stage",
        Said("dialogues"),
        stage,
        progress=Said("dialogues"),
        **({"rule": lambda *_: True, "steps": 1} if small else {}),  # any answer is good enough to see that it runs
    )
    after = ChatModel.load(outcome.checkpoint, chat=None, max_seq_len=args.max_seq_len)
    arms["after"] = measured("after", after)
    table = retention_table(arms, trained_length=stage.trained_length)
    print(f"\n{table}")
    said = dialogue_to_look_at(tests[0])
    draw_attention(
        {"before": system_attention(model, said), "after": system_attention(after, said)},
        args.work / "attention.png",
        title=tests[0].instruction.text,
    )
    used = resource.getrusage(resource.RUSAGE_SELF)
    results = {
        "model": args.model,
        "dialogues": len(scenes),
        "rows": {arm: [asdict(row) for row in rows] for arm, rows in arms.items()},
        "cpu_seconds_of_this_process": round(used.ru_utime + used.ru_stime),
        "max_rss_mb": used.ru_maxrss // 1024,
    }
    with atomic_write(args.work / "results.json") as file:
        file.write(json.dumps(results, indent=1).encode())


def dialogue_to_look_at(test) -> list[dict[str, str]]:
    """The requests of a test with the same short answer to each, so that both models read the same."""
    dialogue = [{"role": "system", "content": test.instruction.text}]
    for turn in test.turns[:12]:
        dialogue += [{"role": "user", "content": turn.text}, {"role": "assistant", "content": "I will tell you."}]
    return dialogue


if __name__ == "__main__":
    main()
