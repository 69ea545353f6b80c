"""How a children's story goes on: 64 beginnings with four endings each, written for this project, in the package.

It needs no network and suits the model that ships inside, which knows nothing but such stories: its right answers show
what it has learned (words, people, feelings), its wrong ones what it has not (who had the red ball). Each document
says of which `kind` it is. It is no benchmark that others report.

    {"kind": "memory", "beginning": "There were two birds …", "endings": ["one bird.", …], "label": 0}
"""

from __future__ import annotations

from ..common.task import Dataset, Document, Task
from .building import choosing
from .fields import number_below, text, texts


def _beginning(document: Document) -> str:
    return text(document, "beginning")


def _endings(document: Document) -> list[str]:
    return texts(document, "endings", at_least=2)


def _gold(document: Document) -> int:
    return number_below(len(_endings(document)), document, "label")


STORIES_CLOZE: Task = choosing(
    name="stories_cloze",
    dataset=Dataset("stories_cloze", "", "MIT"),
    split="test",
    prompt=_beginning,
    choices=_endings,
    gold=_gold,
    protocol="minillama",
    version="1.0",
    about="how a children's story goes on; ships with minillama, for stories3M",
)
TASKS = (STORIES_CLOZE,)
