"""What KL buys: the same run at several beta.

A small beta lets the policy go far, to a high reward and, past some KL, a lower truth; a large one holds it where it
was. The frontier shows both, and what a choice of beta costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..models import Prompt
from .report import Rows, Truth, over_optimisation, write_rows
from .run import PPOOutcome


def beta_frontier(
    folder: Path,
    betas: Sequence[float],
    run: Callable[[float, Path], PPOOutcome],
    prompts: Sequence[Prompt],
    truth: Truth,
) -> Rows:
    """Run PPO at every beta, or read what was run; the rows are in FOLDER/frontier.csv too.

    Parameters
    ----------
    folder : Path
        Each run has a folder of its own in it, and goes on there after an interrupt.
    betas : sequence of float
    run : callable
        (beta, folder) -> outcome: `run_ppo` with `replace(settings, beta=beta)`.
    prompts : sequence of Prompt
        The validation requests.
    truth : callable

    Returns
    -------
    list of dict
        Two rows for each beta, "chosen" by validation and "last": beta, which, iteration, reward, judged, kl, truth
        and its parts. A run that was interrupted ends the list.
    """
    rows: Rows = []
    for beta in betas:
        outcome = run(beta, folder / f"beta-{beta:g}")
        if outcome.interrupted:
            break
        looks = over_optimisation(outcome.folder, prompts, truth)
        for which, iteration in (("chosen", outcome.iteration), ("last", looks[-1]["iteration"])):
            rows += [{"beta": beta, "which": which} | look for look in looks if look["iteration"] == iteration]
        write_rows(folder / "frontier.csv", rows)
    return rows
