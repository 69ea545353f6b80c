"""PPO (LLaMA 2 section 3.2.3): a policy that maximises what reward models say, and stays near to where it began.

advantages.py      KL estimators, whitening, generalised advantage estimation
reward.py          two models' scores as one number: gate, centres, whitening
objective.py       clipped losses of policy and value network, and their gradients
prompts.py         how many prompts of each kind an iteration has
experience.py      answers and what is known of each of their tokens, as a batch
collection.py      an iteration's experience: sampled, scored, measured
rollout_files.py   iterations on disk
validation.py      when to stop
warmup.py          the value network alone
stage.py           PPO as a stage of the trainer
run.py             all of it, from beginning to end
report.py          reward against truth and KL, and where the time went
products.py        the share of it in matrix products
frontier.py        the same at several beta
"""

from .frontier import beta_frontier
from .objective import ActorCritic, PPOObjective
from .report import draw_over_optimisation, over_optimisation, time_table, write_rows
from .reward import Centres, Scoring, centres_of, check_gate
from .run import PPOOutcome, run_ppo
from .settings import PAPER, SCALED, PPOSettings
from .stage import PPO
from .validation import Validation, scores_by, wins_by
from .warmup import ValueWarmUp

__all__ = [
    "PAPER",
    "PPO",
    "SCALED",
    "ActorCritic",
    "Centres",
    "PPOObjective",
    "PPOOutcome",
    "PPOSettings",
    "Scoring",
    "Validation",
    "ValueWarmUp",
    "beta_frontier",
    "centres_of",
    "check_gate",
    "draw_over_optimisation",
    "over_optimisation",
    "run_ppo",
    "scores_by",
    "time_table",
    "wins_by",
    "write_rows",
]
