"""Lists that a chat model writes."""

import pytest

from minillama.alignment.ghost_attention import chat_model_lists, list_items
from minillama.alignment.ghost_attention import lists as module
from minillama.alignment.rollouts import Answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Here are some:\n1. **Hiking** - walking in nature\n2) Reading: books\n3. Cooking.",
            ["Hiking", "Reading", "Cooking"],
        ),
        ("- surfing\n* rock climbing (outdoors)\n• chess", ["surfing", "rock climbing", "chess"]),
        ("Some hobbies are: hiking, reading, and cooking.", ["hiking", "reading", "cooking"]),
        ("I do not know.", []),
        (
            "As follows: '1. Isaac Newton'; '2. Marie Curie', 3. Jasper Johns.",
            ["Isaac Newton", "Marie Curie", "Jasper Johns"],
        ),
        ("One, two", []),
        ('1.\n2. \n3. "Sewing"', ["Sewing"]),
    ],
)
def test_items(text, expected):
    assert list_items(text) == expected


def test_lists_are_joined_without_doubles(monkeypatch):
    told = [
        ("1. Hiking\n2. Chess\n3. Reading", True),
        ("1. chess\n2. The Guitar\n3. hik", False),  # cut: its last item is no item
        ("1. Guitars\n2. a very long way of saying nothing\n3. Chess", True),
        ("I have none.", True),
    ]
    asked = []

    def sample_answers(model, prompts, *, k, **settings):
        asked.extend(prompt.dialogue[0]["content"] for prompt in prompts)
        answers = [Answer("list", i, (1,), (1,), text, ended) for i, (text, ended) in enumerate(told)]
        return [answers[i : i + k] for i in range(0, len(answers), k)]

    monkeypatch.setattr(module, "sample_answers", sample_answers)
    assert chat_model_lists(None, ["List hobbies.", "More hobbies."], n=10, answers_each=2) == [
        "Chess",
        "The Guitar",
        "Hiking",
        "Reading",
    ]
    assert asked == ["List hobbies.", "More hobbies."]
    assert chat_model_lists(None, ["List hobbies.", "More."], n=1, answers_each=2) == ["Chess"]
    twice = chat_model_lists(None, ["List hobbies.", "More."], n=9, answers_each=2, least_times=2)
    assert twice == ["Chess", "The Guitar"]
    told[:] = [("I have none.", True)] * 4
    with pytest.raises(ValueError, match="none of 4 answers"):
        chat_model_lists(None, ["List hobbies.", "More."], n=1, answers_each=2)
