"""The world of people: prompts and pairs from files, a model of real weights, and nobody who knows what is right.

world.py           what the steps take from it; its own steps before and beside them
pairs.py           pairs of people, split by their first messages; the prompts of each part
conversations.py   fine-tuning on conversations of a file, where there is one
own_answers.py     answers of the model itself that are replayed beside everything new
judging.py         reward models of other pairs in the place of a judge
talk.py            lists of hobbies and figures that the model makes, and short questions: scenes for Ghost Attention
measures.py        refusals, lengths and wins of answers
report.py          the report card
"""

from .world import PeopleWorld

__all__ = ["PeopleWorld"]
