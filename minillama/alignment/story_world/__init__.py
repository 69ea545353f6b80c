"""A small world in which alignment has ground truth: requests that a program can check, and a judge who knows.

vocabulary.py       names, living things and things, verbs, words to ask for (words/: open sets, a word a line)
wording.py          how requests are worded
requests.py         what is asked, as text and as facts
drawing.py          three sets of requests that share none
sentences.py        sentences, words and 4-grams by stated rules
rules.py            when somebody is hurt: what an annotator knows, and what the judge knows
checks.py           what an answer has of what was asked for
fluency.py          how well it reads, under the base model
judge.py            helpfulness and safety: the truth
annotator.py        the judge with noise and fewer verbs
sources.py          stories: the base model's own, or a file's
stories.py          a story taken apart
telling.py          answers put together from stories
demonstrations.py   requests with answers, drawn anew in every pass
emphasis.py         which tokens of an answer count more
diversity.py        how unlike each other answers are
rates.py            every measure of a model's answers, with its interval
"""

from .annotator import StoryAnnotator
from .checks import Checks, check
from .demonstrations import PREPROMPTS, Demonstrations, DemonstrationSettings
from .diversity import distinct_four_grams, self_bleu
from .drawing import EVERYTHING, MIX, SKILLS, draw_requests
from .emphasis import Demonstration, demonstration_of, example_of
from .fluency import BaseFluency
from .judge import Judge, Judgement
from .rates import Rate, by_name, markdown, rates, rates_of
from .requests import KINDS, Request
from .rules import Rules, annotator_rules, judge_rules
from .sources import cleaned, read_stories, sampled_stories
from .stories import Story, parse_stories, parse_story

__all__ = [
    "EVERYTHING",
    "KINDS",
    "MIX",
    "PREPROMPTS",
    "SKILLS",
    "BaseFluency",
    "Checks",
    "Demonstration",
    "DemonstrationSettings",
    "Demonstrations",
    "Judge",
    "Judgement",
    "Rate",
    "Request",
    "Rules",
    "Story",
    "StoryAnnotator",
    "annotator_rules",
    "by_name",
    "check",
    "cleaned",
    "demonstration_of",
    "distinct_four_grams",
    "draw_requests",
    "example_of",
    "judge_rules",
    "markdown",
    "parse_stories",
    "parse_story",
    "rates",
    "rates_of",
    "read_stories",
    "sampled_stories",
    "self_bleu",
]
