"""Personas of the world for Ghost Attention: splits share nothing, and small talk is checked."""

import numpy as np

from minillama.alignment.ghost_attention import Instruction
from minillama.alignment.story_world.traits import small_talk, world_pools


def test_splits_share_no_trait():
    pools = {split: world_pools(split) for split in ("train", "validation", "test")}
    for kind in ("name", "hobby", "ending"):
        values = {split: {trait.value for trait in pools[split][kind]} for split in pools}
        assert all(values.values())
        assert not values["train"] & (values["validation"] | values["test"])
        assert not values["validation"] & values["test"]
        both = {trait.value for trait in world_pools("validation", "test")[kind]}
        assert both == values["validation"] | values["test"]


def test_a_persona_is_said_and_checked():
    name, hobby, end = (world_pools("train")[kind][0] for kind in ("name", "hobby", "ending"))
    instruction = Instruction((name, hobby, end))
    text = f"Your name is {name.value}. You like to {hobby.value}. Always end with {end.value}"
    assert instruction.sentences == text
    assert Instruction(instruction.traits, terse=True).text == (
        f"Name: {name.value}. Hobby: {hobby.value}. End: {end.value}"
    )
    assert name.check(f"I am {name.value}. {end.value}")
    assert hobby.check(f"I like to {hobby.value}.")
    assert not hobby.check("I like the sun.")
    assert instruction.kept_by(f"I like the sun. {end.value}")
    assert not instruction.kept_by("I like the sun.")


def test_small_talk_is_told_of_what_was_asked_for():
    talk = small_talk("train")
    turns = [talk(np.random.default_rng(i)) for i in range(20)]
    assert len({turn.text for turn in turns}) > 10
    assert turns[0].text == talk(np.random.default_rng(0)).text
    for turn in turns:
        noun = turn.text.rstrip(".?").rpartition(" the ")[2]
        assert turn.check(f"I like the {noun}. It is red.")
        assert turn.check is not None
        assert not turn.check("It is red.")
