"""What the steps take with SmolLM2-135M-Instruct and hh-rlhf, in CPU seconds: tokens divided by measured rates.

    sampled     answers, 32 side by side and more
    read        through all layers: scores, log-probabilities, values
    frozen      through the 26 of 30 layers that reward models leave as they are
    upper       learned by the last 4 layers, on what the frozen ones have made
    learned     by all layers; a third slower where hidden states are computed twice

Of hh-rlhf some 2,000 helpful and adversarial pairs each are taken ([preferences] requests), of some 300 tokens, the
beginning of both answers counted once. A prompt that is asked has 110 tokens, an answer 130 of at most 192; answers to
one prompt share its computation where they are scored. All of it is about right at best: what a step took stands in its
done.json.
"""

from __future__ import annotations

from .tables import RecipeSettings

RATES = {"sampled": 100.0, "read": 430.0, "frozen": 490.0, "upper": 900.0, "learned": 86.0}
"""Tokens per CPU second, of two threads on a busy machine."""
LIMIT = 2 * 2 * 3600.0
"""CPU seconds of two hours on two cores."""

_PAIRS = {"helpful": 1954, "safety": 1912}
_PAIR, _PROMPT, _ANSWER = 300, 110, 130  # tokens
_ROW = _PROMPT + _ANSWER
_ADAM = 3.0  # seconds of an update of 135 million parameters, besides its tokens
_CENTRES, _VALIDATION = 256, 60  # answers that centre rewards, prompts that the temperature of a round is chosen on
_SHORT, _QUESTION = 45, 25  # tokens of an answer and a question of Ghost Attention's dialogues
_DRAWS = 1.5  # answers drawn for one that obeys
_FEW = 2.0  # eight answers side by side are sampled half as fast


def cpu_seconds(settings: RecipeSettings) -> dict[str, float]:
    """About what each step takes, of both cores together, by its name.

    Parameters
    ----------
    settings : RecipeSettings
        Those of the preset smollm2, with other counts or without.
    """
    found = {"sft": _of(learned=settings.sft.epochs * settings.sft.demonstrations * _ROW)}
    if not settings.recipe.conversations:
        del found["sft"]
    for name, part in (("reward", 0.55), ("judge", 0.25)):
        for kind in _PAIRS:
            found[f"{name}-{kind}"] = _reward(settings, kind, part)
    found["own-answers"] = _own_answers(settings)
    found["lists"] = _of(sampled=80 * 100)
    found["distillation"] = _distillation(settings)
    for number in range(1, settings.rejection.rounds + 1):
        found[f"rejection-{number}"] = _rejection(settings, number)
    return found | {"ppo": _ppo(settings), "ghost-attention": _ghost(settings), "report": _report(settings)}


def _reward(settings: RecipeSettings, kind: str, part: float) -> float:
    given, other = settings.reward, "safety" if kind == "helpful" else "helpful"
    mix, epochs = (
        (given.helpful_mix, given.helpful_epochs) if kind == "helpful" else (given.safety_mix, given.safety_epochs)
    )
    others = min(_PAIRS[other], _PAIRS[kind] * (1 - mix) / mix)
    learned, held_out = part * (_PAIRS[kind] + others) * _PAIR, 0.1 * _PAIRS[kind] * _PAIR
    return _of(frozen=learned + held_out, upper=epochs * learned + held_out)


def _own_answers(settings: RecipeSettings) -> float:
    given = settings.verified
    return _of(sampled=given.requests * given.samples * _ANSWER, read=_scored(given.requests, given.samples))


def _distillation(settings: RecipeSettings) -> float:
    """Two answers to every prompt; half of those behind a pre-prompt are kept."""
    given = settings.distillation
    learned = given.epochs * 0.5 * given.requests * (1 + given.replay) * _ROW
    read = 2 * given.requests
    return _of(sampled=read * _ANSWER, read=read * _ROW) + _learning(settings, learned)


def _rejection(settings: RecipeSettings, number: int) -> float:
    """Answers for the temperature, for the centres and of the round, two models' scores; the pool of all rounds."""
    given = settings.rejection
    tried = len(given.temperatures) * _VALIDATION if len(given.temperatures) > 1 else 0
    few = min(4, given.samples)
    answers = given.requests * given.samples + tried * few + _CENTRES
    read = _scored(given.requests, given.samples) + _scored(tried, few) + _CENTRES * _ROW
    learned = given.epochs * (number + given.replay) * given.requests * _ROW
    return _of(sampled=answers * _ANSWER, read=2 * read) + _learning(settings, learned)


def _ppo(settings: RecipeSettings) -> float:
    """Iterations of two networks, those of the value network alone with two passes, looks, and the centres."""
    given = settings.ppo
    tokens, steps = given.prompts * _ROW, given.prompts / max(1, given.mini_batch)
    sampled, learned = given.prompts * _ANSWER, 2 * tokens * 4 / 3
    iteration = _of(sampled=sampled, read=(2 + 3) * tokens, learned=learned) + 2 * _ADAM * steps
    warm_up = _of(sampled=sampled, read=(2 + 1) * tokens, learned=learned) + 2 * _ADAM * steps
    look = _of(sampled=given.validation * _ANSWER, read=(2 + 2 + 2) * given.validation * _ROW)
    looks = 1 + given.iterations / max(1, given.validate_every)
    centres = _of(sampled=_CENTRES * _ANSWER, read=2 * _CENTRES * _ROW)
    return given.iterations * iteration + given.value_iterations * warm_up + looks * look + centres


def _ghost(settings: RecipeSettings) -> float:
    given = settings.ghost_attention
    turns = given.dialogues * (given.least_turns + 0.65 * (given.most_turns - given.least_turns))
    dialogues = turns * (_SHORT + _QUESTION)
    learned = given.epochs * (dialogues + given.replay * given.dialogues * _ROW)
    return _of(sampled=_FEW * _DRAWS * turns * _SHORT, read=dialogues) + _learning(settings, learned)


def _report(settings: RecipeSettings) -> float:
    """Every stage answers, four models score, and read the test pairs; two stages talk for twenty turns."""
    given = settings.report
    answers = (4 + settings.rejection.rounds) * given.requests
    turns = 2 * 2 * given.dialogues * (max(given.turns) + len(given.turns))
    pairs = 2 * 0.1 * sum(_PAIRS.values()) * _PAIR
    return _of(sampled=answers * _ANSWER + _FEW * turns * _SHORT, read=4 * answers * _ROW + pairs + turns * _QUESTION)


def _of(**tokens: float) -> float:
    return sum(n / RATES[kind] for kind, n in tokens.items())


def _scored(prompts: float, samples: int) -> float:
    """Tokens that are read to score some answers to each prompt."""
    return prompts * (_PROMPT + samples * _ANSWER)


def _learning(settings: RecipeSettings, tokens: float) -> float:
    """Fine-tuning on so many tokens."""
    return _of(learned=tokens) + _ADAM * tokens / max(1, settings.sft.batch_tokens)
