"""Every task beside lm-evaluation-harness: the same documents and made-up answers through both, item by item.

    python benchmarks/evaluation_equality.py [--data ../shared/data] [--limit 60] [--tasks piqa,arc_easy]

Compared are prompts, continuations, stop texts, the three hashes, every metric, means, standard errors and MMLU's
groups, with 0, 2, 5 and each task's own shots, with a chat template and a system message. Needs `lm-eval` of the test
extra, and no model. The data are public copies of the benchmarks in the layouts of tests/evaluation/odd_layouts.py;
HellaSwag and BoolQ are the rows written by hand beside it. Differences are printed in one line each; none is the bar.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from evaluation.harness_oracle import FILES, Comparison, Setting, compare  # noqa: E402
from evaluation.odd_layouts import OddLayouts  # noqa: E402

from minillama.evaluation.tasks.catalogue import GROUPS  # noqa: E402


def settings(limit: int) -> list[Setting]:
    """The ways in which every task is asked."""
    plain = [Setting(n_shots, limit) for n_shots in (None, 0, 2, 5)]
    chats = [Setting(0, limit, chat=True), Setting(2, limit, chat=True, system="Be brief.")]
    return [*plain, *chats, Setting(1, limit // 2, system="Be brief.")]


def report(comparisons: list[Comparison], setting: Setting, items: Counter[str]) -> int:
    """Prints a setting's result and its differences; how many there are."""
    differences = [line for comparison in comparisons for line in comparison.differences]
    for comparison in comparisons:
        items[comparison.task] += comparison.items
    n_items = sum(comparison.items for comparison in comparisons)
    n_requests = sum(comparison.requests for comparison in comparisons)
    names = f"{len(comparisons)} tasks" if len(comparisons) > 1 else comparisons[0].task
    print(f"{names:10} {setting!s:28} {n_items:6} items {n_requests:7} requests {len(differences):4} differences")
    print(*differences[:20], sep="\n", end="\n" if differences else "")
    return len(differences)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--limit", type=int, default=60, help="documents of each task")
    parser.add_argument("--tasks", type=lambda names: names.split(","), default=[*FILES])
    arguments = parser.parse_args()
    layouts, items, n_differences = OddLayouts(arguments.data), Counter(), 0
    for setting in settings(arguments.limit):
        n_differences += report(compare(arguments.tasks, layouts, setting), setting, items)
    if arguments.tasks == [*FILES]:
        for name, n_shots in (("mmlu", 5), ("mmlu_continuation", 0)):
            setting = Setting(n_shots, arguments.limit)
            group = GROUPS[name]
            n_differences += report(compare(group.tasks, layouts, setting, group), setting, items)
    print(f"{len(items)} tasks, {sum(items.values())} items, {n_differences} differences")
    print(
        "items a task, all settings together:", ", ".join(f"{task} {n}" for task, n in items.items() if task in FILES)
    )
    sys.exit(n_differences > 0)


if __name__ == "__main__":
    main()
