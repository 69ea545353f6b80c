"""Reward models on SmolLM2-135M-Instruct and Anthropic's hh-rlhf: held-out accuracy by cross-validation.

    python benchmarks/reward_hh_rlhf.py --data ../shared/data/hh-rlhf --work FOLDER [--layers 4]

For each of both sets, all its pairs in five folds; dialogues with the same first message are in the same fold. On four
folds a reward model is trained (its last layers and the head; what the frozen layers below make of every pair is
computed once, with the beginning that chosen and rejected share computed once), on the fifth it is measured. Beside it:

    length      the longer answer wins (helpful), the shorter one (harmless), by characters; a tie counts half
    logistic    logistic regression on the difference of the untrained model's last-token features, the strength of its
                L2 penalty chosen by cross-validation within the four folds

Differences are paired, with 95 % intervals by a bootstrap over first messages. Accuracy is also given for pairs whose
lengths differ by less than 10 %, where the length says nothing.

Everything is kept in FOLDER (about 1.3 GB): ids, hidden states, a run for every fold. The same command goes on where
it was stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minillama.alignment.models import ChatModel
from minillama.alignment.preferences import Comparison, read_hh_rlhf
from minillama.alignment.reward import FrozenBelow, RewardSettings, RewardTraining, TokenPair, pair_scores, token_pairs
from minillama.alignment.reward.ablations import trained
from minillama.alignment.reward.measures import as_json, nll, report, right, share
from minillama.alignment.reward.scorer import end_states
from minillama.evaluation.statistics.paired import compare_paired

LONGER_WINS = {"helpful": True, "harmless": False}
LIKE = 0.1  # lengths that differ by less, relative to the longer one
PENALTIES = (1.0, 10.0, 100.0, 1000.0, 10000.0)


def main() -> None:
    options = parsed()
    model = ChatModel.load("smollm2-135m-instruct", None)
    found = {}
    for name in options.sets.split(","):
        comparisons = read_hh_rlhf(options.data / f"{name}-base.jsonl.gz", tagged=name == "harmless")[: options.limit]
        found[name] = cross_validated(name, comparisons, model, options)
        (options.work / "results.json").write_text(json.dumps(found, indent=1) + "\n")
        print(as_text(name, found[name]), flush=True)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sets", default="helpful,harmless")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--peak", type=float, default=1e-4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="the first so many pairs, to see that it runs")
    parser.add_argument("--prepare", action="store_true", help="compute the hidden states alone")
    return parser.parse_args()


def cross_validated(
    name: str, comparisons: Sequence[Comparison], model: ChatModel, options: argparse.Namespace
) -> dict[str, Any]:
    """All figures of a set."""
    began = time.perf_counter()
    frozen = FrozenBelow(model.params, model.config, options.layers)
    pairs = token_pairs_kept(name, comparisons, model, options.work)
    pairs = frozen.states(pairs, options.work / f"{name}-states-{options.layers}", progress=told(f"{name} states"))
    prepared = time.perf_counter() - began
    if options.prepare:
        return {"seconds preparing": prepared}
    folds = folds_of(comparisons, options.folds, options.seed)
    features = end_states(frozen.upper().backbone, frozen.upper_config, pairs)  # (n, 2, D)
    scores, logistic = np.zeros((len(pairs), 2)), np.zeros(len(pairs))
    for fold in range(options.folds):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        logistic[outside] = logistic_scores(features, inside, outside, folds)
        learned, held_out = ([pairs[i] for i in part] for part in (inside, outside))
        scores[outside] = fold_scores(name, fold, learned, held_out, frozen, model, options)
    found = {"seconds": time.perf_counter() - began, "settings": settings_of(options)}
    return found | compared(name, comparisons, pairs, scores, logistic)


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    return {key: getattr(options, key) for key in ("layers", "epochs", "peak", "batch", "folds", "seed")}


def told(label: str) -> Callable[[int, int], None]:
    """Says how far it is, once a minute."""
    last = [time.monotonic()]

    def progress(done: int, total: int) -> None:
        if time.monotonic() > last[0] + 60 or done == total:
            last[0] = time.monotonic()
            print(f"{label}: {done} of {total}", flush=True)

    return progress


def token_pairs_kept(name: str, comparisons: Sequence[Comparison], model: ChatModel, work: Path) -> list[TokenPair]:
    """The ids of all pairs: the chat template is slow, so they are kept."""
    work.mkdir(parents=True, exist_ok=True)
    path = work / f"{name}-ids-{len(comparisons)}.npz"
    if not path.exists():
        pairs = token_pairs(comparisons, model.chat, model.tokenizer, max_tokens=model.config.max_seq_len)
        rows = [row for pair in pairs for row in (pair.chosen, pair.rejected)]
        np.savez(path, ids=np.concatenate(rows), lengths=[len(row) for row in rows])
    kept = np.load(path)
    rows = np.split(kept["ids"], np.cumsum(kept["lengths"])[:-1])
    return [TokenPair(*rows[i : i + 2]) for i in range(0, len(rows), 2)]


def folds_of(comparisons: Sequence[Comparison], n: int, seed: int) -> np.ndarray:
    """A fold for each pair: first messages in random order, each to the fold that is smallest."""
    first = [comparison.prompt.dialogue[0]["content"] for comparison in comparisons]
    members: dict[str, list[int]] = {}
    for i, message in enumerate(first):
        members.setdefault(message, []).append(i)
    groups, folds, sizes = list(members.values()), np.zeros(len(first), np.int64), [0] * n
    for g in np.random.default_rng(seed).permutation(len(groups)):
        fold = int(np.argmin(sizes))
        folds[groups[g]] = fold
        sizes[fold] += len(groups[g])
    return folds


# --- the reward model --------------------------------------------------------------------


class Lines:
    """A line of figures now and then."""

    def __init__(self, label: str) -> None:
        self.label = label

    def begin(self, step: int, steps: int) -> None:
        self.steps = steps

    def row(self, row: dict[str, Any]) -> None:
        if row["step"] % 10 == 0 or row["step"] == self.steps:
            print(
                f"{self.label}: step {row['step']} of {self.steps}, loss {row['loss']:.3f}, accuracy "
                f"{row['accuracy']:.3f}, {row['tokens_per_second']} tokens/s",
                flush=True,
            )

    def note(self, text: str) -> None:
        print(f"{self.label}: {text}", flush=True)


def fold_scores(
    name: str,
    fold: int,
    learned: Sequence[TokenPair],
    held_out: Sequence[TokenPair],
    frozen: FrozenBelow,
    model: ChatModel,
    options: argparse.Namespace,
) -> np.ndarray:
    """Train on the other folds, or read what was trained, and score this one."""
    settings = RewardSettings(
        name="helpfulness" if LONGER_WINS[name] else "safety",
        peak=options.peak,
        batch_size=options.batch,
        epochs=options.epochs,
        margin="none",  # hh-rlhf has no strengths
        seed=options.seed,
        checkpoint_every=20,
    )
    stage = RewardTraining(settings, model.params, model.config, model.tokenizer, learned, (), frozen)
    label = f"{name}-{options.layers}-{options.peak:g}-{options.epochs}-{options.batch}-fold-{fold}"
    config, upper = trained(stage, options.work / "runs" / label, Lines(label))
    return np.asarray(pair_scores(upper, config, held_out), np.float64)


# --- baselines ---------------------------------------------------------------------------


def length_scores(name: str, comparisons: Sequence[Comparison]) -> np.ndarray:
    """(n, 2): characters, or minus them where the shorter answer wins."""
    sign = 1.0 if LONGER_WINS[name] else -1.0
    return sign * np.array([[len(c.chosen), len(c.rejected)] for c in comparisons], np.float64)


def logistic_scores(features: np.ndarray, inside: np.ndarray, outside: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Differences of the scores of pairs `outside`, from a regression on those `inside`."""
    x = (features[:, 0] - features[:, 1]).astype(np.float64)
    x /= x[inside].std(axis=0) + 1e-6
    groups = np.unique(folds[inside])
    losses = []
    for penalty in PENALTIES:
        held = np.zeros(len(x))
        for group in groups:
            rest, this = inside[folds[inside] != group], inside[folds[inside] == group]
            held[this] = x[this] @ logistic(x[rest], penalty)
        losses.append(np.logaddexp(0, -held[inside]).mean())
    return x[outside] @ logistic(x[inside], PENALTIES[int(np.argmin(losses))])


def logistic(x: np.ndarray, penalty: float, steps: int = 20) -> np.ndarray:
    """w that minimises sum log(1 + exp(-x w)) + penalty |w|^2 / 2, by Newton's method: every x is of a right pair."""
    w = np.zeros(x.shape[1])
    for _ in range(steps):
        p = 1 / (1 + np.exp(x @ w))
        gradient = penalty * w - x.T @ p
        change = np.linalg.solve((x.T * (p * (1 - p))) @ x + penalty * np.eye(len(w)), gradient)
        w -= change
        if np.abs(change).max() < 1e-8:
            break
    return w


# --- figures -----------------------------------------------------------------------------


def compared(
    name: str,
    comparisons: Sequence[Comparison],
    pairs: Sequence[TokenPair],
    scores: np.ndarray,
    logistic: np.ndarray,
) -> dict[str, Any]:
    """Accuracies, and the reward model against both baselines."""
    characters = length_scores(name, comparisons)
    hits = {
        "reward model": right(scores),
        "length": right(characters),
        "logistic": right(np.stack([logistic, 0 * logistic], 1)),
    }
    lengths = np.abs(characters)
    like = np.abs(lengths[:, 0] - lengths[:, 1]) < LIKE * np.maximum(1, lengths.max(axis=1))
    clusters = [comparison.prompt.dialogue[0]["content"] for comparison in comparisons]
    found: dict[str, Any] = {"pairs": len(pairs), "nll": nll(scores)}
    for label, hit in hits.items():
        found[label] = plain(share(hit))
        found[f"{label}, like lengths"] = plain(share(hit[like]))
    for label in ("length", "logistic"):
        difference = compare_paired(hits[label], hits["reward model"], clusters=clusters)
        found[f"reward model - {label}"] = [difference.difference, *difference.interval, difference.p]
    whole = report(scores, [None] * len(pairs), np.full((len(pairs), 2), np.nan))
    return found | {"calibration": as_json(whole)["calibration"]}


def plain(found: Any) -> list[float]:
    return [found.value, found.n, *found.interval]


def as_text(name: str, found: dict[str, Any]) -> str:
    lines = [f"## {name}"]
    for key, value in found.items():
        if isinstance(value, list) and key != "calibration":
            figures = f"{value[0]:.1%} ({value[-2]:.1%} to {value[-1]:.1%}), n = {value[1]}"
            if " - " in key:
                figures = f"{100 * value[0]:+.1f} points ({100 * value[1]:+.1f} to {100 * value[2]:+.1f})"
            lines.append(f"{key:32} {figures}")
        elif isinstance(value, int | float):
            lines.append(f"{key:32} {value:.4g}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
