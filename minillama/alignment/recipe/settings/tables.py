"""The settings of a run, a table a stage. The defaults are LLaMA 2's where it published them (section 3, appendix A.3).

    [sft]        2e-5, cosine, 2 epochs, batches of 64, sequences of 4,096                       (3.1)
    [reward]     1e-5 (5e-6 for 70B), 1 epoch, 512 pairs a step, mixes 50/50 and 90/10           (3.2.2)
    [ppo]        1e-6 constant, 512 answers an iteration, mini-batches of 64, clip 0.2,
                 beta 0.01 (7B, 13B) or 0.005 (34B, 70B), gate 0.15, 200 to 400 iterations       (3.2.3)

Where a count is 0 the stage is left out. What the paper does not say is marked "unconfirmed" in files.py, which
writes the tables.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class RecipeTable:
    """What all stages share.

    Attributes
    ----------
    preset : str
        The name of the settings that these began as.
    model : str
        The base model: a known name, a file or a folder.
    chat : str
        The chat format; "own" is that which the model brings.
    world : str
        Where requests and verdicts come from: "story", a small world in which a program knows what is right, or
        "people", whose pairs stand in files.
    text : str
        Of the world of stories: a file of those that demonstrations are made from besides the base model's own; "" for
        none.
    pairs : str
        Of the world of people: a folder with helpful-base.jsonl.gz and harmless-base.jsonl.gz (Anthropic's hh-rlhf).
    conversations : str
        Of the world of people: JSONL of conversations to be fine-tuned on first; "" for a model that follows
        instructions already.
    seed : int
    threads : int
        0: all cores. The last digits depend on it.
    context : int
        Tokens that a conversation may have.
    max_tokens : int
        Of an answer.
    """

    preset: str = ""
    model: str = ""
    chat: str = "llama-2"
    world: str = "story"
    text: str = ""
    pairs: str = ""
    conversations: str = ""
    seed: int = 0
    threads: int = 0
    context: int = 4096
    max_tokens: int = 1024


@dataclass(frozen=True, kw_only=True)
class StoriesTable:
    """Stories that the base model writes, which demonstrations are cut from."""

    count: int = 0
    temperature: float = 0.8


@dataclass(frozen=True, kw_only=True)
class FineTuningTable:
    """Supervised fine-tuning on demonstrations.

    Attributes
    ----------
    demonstrations : int
        The paper stopped at 27,540. In the world of people at most so many of the conversations.
    batch_rows, batch_tokens : int
        Conversations a step; where `batch_tokens` is given, as many as make so many tokens.
    steps : int
        With a number demonstrations are drawn anew in each of so many steps: there are no epochs.
    """

    demonstrations: int = 27540
    epochs: int = 2
    peak: float = 2e-5
    batch_rows: int = 64
    batch_tokens: int = 0
    weight_decay: float = 0.1
    steps: int = 0


@dataclass(frozen=True, kw_only=True)
class VerifiedTable:
    """A round of fine-tuning on the model's own answers that a program found right; not in the paper.

    In the world of people nobody can say that: of `samples` answers to each of `requests` helpful prompts the one that
    the helpfulness model likes best is kept, to be replayed beside everything new, and nothing is learned in that step.

    Attributes
    ----------
    rounds : int
        Each is of the model that the one before gave, on other requests; what was kept is pooled over all of them.
    requests, samples : int
        Requests of a round, and answers to each.
    share : float
        Of the examples of the round; the others are demonstrations.
    """

    rounds: int = 1
    requests: int = 0
    samples: int = 6
    temperature: float = 0.8
    share: float = 0.7
    epochs: int = 1
    peak: float = 1e-5


@dataclass(frozen=True, kw_only=True)
class PreferencesTable:
    """Pairs of answers that an annotator compares.

    Attributes
    ----------
    requests : int
        A pair each; the paper has 1,418,091 comparisons of its own. Of people's files at most so many of each kind.
    refresh : int
        Pairs more after the last round of rejection sampling, from its policy: PPO maximises what is learned from them.
    temperatures : tuple of float
        The two answers of a pair are sampled at two of them.
    held_out : int
        Requests whose pairs nothing is trained on.
    """

    requests: int = 1418091
    refresh: int = 0
    temperatures: tuple[float, ...] = (0.5, 0.7, 0.9, 1.1)
    held_out: int = 1000


@dataclass(frozen=True, kw_only=True)
class RewardTable:
    """Two reward models.

    Attributes
    ----------
    margin : str
        "none", "small" or "large".
    auxiliary : float
        Weight of the loss that tells safe from unsafe, for the safety model.
    helpful_mix, safety_mix : float
        The share of a model's own kind of pairs in what it learns from.
    layers : int
        Train so many of the last layers alone, with the head; 0 trains all.
    gate_share : float
        For pairs that nobody has said of what is safe, so that the auxiliary loss has nothing to learn from: the safety
        model's scores are moved by the constant with which this share of the rejected answers of held-out pairs lies
        below the gate of [ppo]. 0 leaves them.
    """

    helpful_epochs: int = 1
    safety_epochs: int = 1
    helpful_peak: float = 1e-5
    safety_peak: float = 1e-5
    batch_pairs: int = 512
    margin: str = "small"
    auxiliary: float = 1.0
    helpful_mix: float = 0.5
    safety_mix: float = 0.9
    layers: int = 0
    gate_share: float = 0.0


@dataclass(frozen=True, kw_only=True)
class DistillationTable:
    """Context distillation of safety (section 4.2.4): adversarial requests behind a preprompt.

    `first_weight` is that of the loss of an answer's first tokens, which decide whether it turns away.
    """

    requests: int = 2000
    epochs: int = 1
    peak: float = 1e-5
    replay: float = 1.0
    temperature: float = 0.7
    first_weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class RejectionTable:
    """Rejection sampling: best of K, `rounds` times, before PPO.

    `temperatures` are those that each round chooses from, by the best of K on validation requests.
    """

    rounds: int = 4
    requests: int = 10000
    samples: int = 16
    temperatures: tuple[float, ...] = (1.0, 1.1, 1.2, 1.3)
    epochs: int = 1
    peak: float = 2e-5
    replay: float = 0.5


@dataclass(frozen=True, kw_only=True)
class PPOTable:
    """Proximal policy optimization on the two reward models."""

    iterations: int = 400
    prompts: int = 512
    mini_batch: int = 64
    peak: float = 1e-6
    beta: float = 0.01
    clip: float = 0.2
    gate: float = 0.15
    gamma: float = 1.0
    lam: float = 0.95
    temperature: float = 1.0
    value_iterations: int = 20
    value_peak: float = 1e-5
    validate_every: int = 10
    validation: int = 584
    patience: int = 5


@dataclass(frozen=True, kw_only=True)
class GhostTable:
    """Ghost Attention (section 3.3): dialogues of `least_turns` to `most_turns` turns."""

    dialogues: int = 2000
    least_turns: int = 2
    most_turns: int = 20
    epochs: int = 1
    peak: float = 2e-5
    replay: float = 0.5
    temperature: float = 0.7


@dataclass(frozen=True, kw_only=True)
class ReportTable:
    """The report card, on the test split.

    Attributes
    ----------
    requests : int
        To every stage.
    dialogues : int
        Of 20 turns, for Ghost Attention.
    """

    requests: int = 4000
    temperature: float = 0.7
    dialogues: int = 100
    turns: tuple[int, ...] = (2, 4, 6, 20)
    samples: int = 8


@dataclass(frozen=True, kw_only=True)
class RecipeSettings:
    """All tables, in the order of the stages."""

    recipe: RecipeTable = field(default_factory=RecipeTable)
    stories: StoriesTable = field(default_factory=StoriesTable)
    sft: FineTuningTable = field(default_factory=FineTuningTable)
    verified: VerifiedTable = field(default_factory=VerifiedTable)
    preferences: PreferencesTable = field(default_factory=PreferencesTable)
    reward: RewardTable = field(default_factory=RewardTable)
    distillation: DistillationTable = field(default_factory=DistillationTable)
    rejection: RejectionTable = field(default_factory=RejectionTable)
    ppo: PPOTable = field(default_factory=PPOTable)
    ghost_attention: GhostTable = field(default_factory=GhostTable)
    report: ReportTable = field(default_factory=ReportTable)
