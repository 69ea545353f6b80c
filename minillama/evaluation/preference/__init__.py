"""Which of two answers is better, in the eyes of a program, a model or a person: Llama 2's section 3.4.2.

    from minillama.evaluation import preference

    prompts = preference.read_prompts("prompts.jsonl")
    answers = {"a": preference.answer_prompts(llm, prompts, "a.jsonl"), "b": …}
    pairs = preference.pairs_between(prompts, answers)
    votes = preference.judge_pairs(preference.Rule(preference.longer_answer, "longer"), pairs)
    preference.results_of(pairs, votes).comparisons[0].rate      # win rate with its interval

    rows, prompts, pairs, answers      what is judged
    judges, judging                    programs that judge
    rating, page                       persons who judge, on a local page or in the terminal (cli/evaluation)
    votes, folder                      what is kept
    outcomes, agreement, ranking       what it comes to
    llmbar                             how good a judge is
    results, report                    all of it together

Names are imported when they are first used: a vote needs neither NumPy nor a model. What is left out: a win rate
corrected for length (AlpacaEval's), Elo, and models as judges over the network.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agreement import Agreement, gwet_ac2, ordinal_weights
    from .answers import Answering, answer_prompts, read_answers
    from .folder import PreferenceFolder
    from .judges import AskedJudge, Judge, LogLikelihood, Rule, ScorerJudge, WordRule, longer_answer
    from .judging import judge_pairs
    from .llmbar import Accuracy, accuracies, read_llmbar
    from .outcomes import Comparison, compare_systems
    from .page import RatingServer
    from .pairs import Pair, make_pair, pairs_between, read_pairs
    from .prompts import Prompt, read_prompts
    from .ranking import Ranking, bradley_terry, rank_systems
    from .rating import Rating
    from .results import Results, results_of
    from .votes import Vote, VoteLog, read_all_votes

_HOME = {
    "Agreement": "agreement",
    "gwet_ac2": "agreement",
    "ordinal_weights": "agreement",
    "Answering": "answers",
    "answer_prompts": "answers",
    "read_answers": "answers",
    "PreferenceFolder": "folder",
    "AskedJudge": "judges",
    "Judge": "judges",
    "LogLikelihood": "judges",
    "Rule": "judges",
    "ScorerJudge": "judges",
    "WordRule": "judges",
    "longer_answer": "judges",
    "judge_pairs": "judging",
    "Accuracy": "llmbar",
    "accuracies": "llmbar",
    "read_llmbar": "llmbar",
    "Comparison": "outcomes",
    "compare_systems": "outcomes",
    "RatingServer": "page",
    "Pair": "pairs",
    "make_pair": "pairs",
    "pairs_between": "pairs",
    "read_pairs": "pairs",
    "Prompt": "prompts",
    "read_prompts": "prompts",
    "Ranking": "ranking",
    "bradley_terry": "ranking",
    "rank_systems": "ranking",
    "Rating": "rating",
    "Results": "results",
    "results_of": "results",
    "Vote": "votes",
    "VoteLog": "votes",
    "read_all_votes": "votes",
}

__all__ = [
    "Accuracy",
    "Agreement",
    "Answering",
    "AskedJudge",
    "Comparison",
    "Judge",
    "LogLikelihood",
    "Pair",
    "PreferenceFolder",
    "Prompt",
    "Ranking",
    "Rating",
    "RatingServer",
    "Results",
    "Rule",
    "ScorerJudge",
    "Vote",
    "VoteLog",
    "WordRule",
    "accuracies",
    "answer_prompts",
    "bradley_terry",
    "compare_systems",
    "gwet_ac2",
    "judge_pairs",
    "longer_answer",
    "make_pair",
    "ordinal_weights",
    "pairs_between",
    "rank_systems",
    "read_all_votes",
    "read_answers",
    "read_llmbar",
    "read_pairs",
    "read_prompts",
    "results_of",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
