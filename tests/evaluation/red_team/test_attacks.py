"""Attacks: pure functions of a prompt and a seed, composed by name."""

import copy
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillama.evaluation.red_team.attacks import ATTACKS, LANGUAGES, attacked, checked_attack, languages
from minillama.evaluation.red_team.prompts import Prompt
from minillama.evaluation.red_team.suites import read_suites

PROMPT = Prompt(
    "own", "1", "How does the greedy bear steal honey quickly?", "unsafe", "", {"german": "Wie stiehlt er?"}
)


def request(attack, seed=0, prompt=PROMPT):
    return attacked(prompt, attack, seed)[-1]["content"]


def test_none_is_the_prompt():
    assert attacked(PROMPT) == [{"role": "user", "content": PROMPT.text}]


@pytest.mark.parametrize("attack", ["hypothetical", "role-play", "positive"])
def test_frames_keep_the_request_and_follow_the_seed(attack):
    drawn = {request(attack, seed) for seed in range(20)}
    assert len(drawn) == 3
    assert all(text.endswith(PROMPT.text) and len(text) > len(PROMPT.text) for text in drawn)


def test_misspelling_keeps_what_makes_words_readable():
    for seed in range(50):
        text = request("misspelling", seed)
        assert text != PROMPT.text
        before, after = re.findall(r"\w+", PROMPT.text), re.findall(r"\w+", text)
        assert len(before) == len(after)
        for word, misspelt in zip(before, after):
            assert (word[0], word[-1]) == (misspelt[0], misspelt[-1])
            assert abs(len(word) - len(misspelt)) <= 1
            assert word == misspelt or len(word) >= 4
    assert request("misspelling", 3) == request("misspelling", 3)
    assert len({request("misspelling", seed) for seed in range(20)}) > 5


def test_text_without_words_to_misspell_stays():
    assert request("misspelling", prompt=Prompt("own", "1", "a b 왜?", "safe")) == "a b 왜?"


def test_multi_turn_puts_a_harmless_turn_first():
    dialogue = attacked(PROMPT, "multi-turn")
    assert [message["role"] for message in dialogue] == ["user", "assistant", "user"]
    assert dialogue[-1]["content"] == PROMPT.text
    assert not {"bear", "steal"} & set(dialogue[0]["content"].lower().split())


def test_languages_use_the_translation_or_a_frame():
    assert request("german") == "Wie stiehlt er?"
    assert request("french") == languages()["french"].replace("{request}", PROMPT.text)
    misspelt = request("misspelling")
    assert request("misspelling+german") == languages()["german"].replace("{request}", misspelt)
    assert set(languages()) == set(LANGUAGES)
    assert all(frame.count("{request}") == 1 for frame in languages().values())


def test_composed_from_left_to_right():
    assert request("hypothetical+misspelling") != request("misspelling+hypothetical")
    assert request("misspelling+hypothetical").endswith(request("misspelling"))
    assert len(attacked(PROMPT, "multi-turn+role-play")) == 3


def test_unknown_attacks():
    with pytest.raises(ValueError, match="no attack 'roleplay': did you mean role-play"):
        checked_attack("none+roleplay")


@given(st.text(), st.sampled_from(sorted(ATTACKS)), st.integers(0, 5))
def test_any_text_can_be_attacked(text, attack, seed):
    prompt = Prompt("own", "1", text, "safe")
    before = copy.deepcopy(prompt)
    dialogue = attacked(prompt, attack, seed)
    assert dialogue == attacked(prompt, attack, seed)
    assert prompt == before
    assert all(set(message) == {"role", "content"} for message in dialogue)
    if attack != "misspelling":
        assert text in dialogue[-1]["content"]


def test_an_attack_of_one_prompt_does_not_depend_on_others():
    prompts = read_suites(["stories"])
    alone = attacked(prompts[7], "misspelling", 1)
    assert [attacked(prompt, "misspelling", 1) for prompt in prompts][7] == alone
