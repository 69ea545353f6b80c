"""Instructions: what is drawn, how it is said, and what counts as kept."""

import numpy as np
import pytest
from ghost_models import POOLS

from minillama.alignment.ghost_attention import (
    Instruction,
    Mixture,
    ending,
    ends_with,
    figure,
    hobby,
    names,
    split_pools,
    starts_with,
)


def test_checks():
    assert names("swim")("I like to SWIM.")
    assert not names("swim")("I like swimming.")
    assert figure("Oscar Wilde").check("My name is Wilde, as you know.")
    assert ends_with("Yay!")("I swim. Yay! ")
    assert not ends_with("Yay!")("Yay!")  # nothing but the ending is no answer
    assert not ends_with("Yay!")("Yay! I swim.")
    assert starts_with("Arr")(" Arr, the sea.")
    assert not starts_with("Arr")("The sea, Arr")


def test_an_instruction_is_said_in_two_ways():
    instruction = Instruction((figure("Oscar Wilde"), hobby("surfing"), ending("Yay!")), terse=True)
    assert instruction.sentences == "Always act as Oscar Wilde. You enjoy surfing. Always end your answers with Yay!"
    assert instruction.text == "Figure: Oscar Wilde. Hobby: surfing. End: Yay!"
    assert [fact.kind for fact in instruction.facts] == ["figure", "hobby"]
    assert instruction.kept_by("I surf. Yay!")
    assert not instruction.kept_by("I surf.")
    assert Instruction((hobby("surfing"),)).kept_by("Anything.")


def test_combinations_have_the_shares_that_were_asked_for():
    rng = np.random.default_rng(0)
    pools = {**POOLS, "figure": [figure("Oscar Wilde")], "start": []}
    drawn = [Mixture(fact_share=0.6, style_share=0.5, terse_share=0.5).draw(pools, rng) for _ in range(2000)]
    assert all(instruction.traits for instruction in drawn)
    assert all(len({trait.kind for trait in one.traits}) == len(one.traits) for one in drawn)
    # of those with at least one trait: 1 - 0.4 * 0.4 * 0.5 = 0.92 of all draws
    assert np.mean([bool(one.styles) for one in drawn]) == pytest.approx(0.5 / 0.92, abs=0.04)
    assert np.mean([len(one.facts) for one in drawn]) == pytest.approx(1.2 / 0.92, abs=0.05)
    assert np.mean([one.terse for one in drawn]) == pytest.approx(0.5, abs=0.04)
    with pytest.raises(ValueError, match="no instruction"):
        Mixture(style_share=0).draw({"ending": POOLS["ending"]}, rng)


def test_unseen_traits_are_in_no_training():
    pools = {"hobby": [hobby(f"hobby {i}") for i in range(20)], "ending": POOLS["ending"] * 5}
    seen, unseen = split_pools(pools, 0.25, seed=1)
    assert len(unseen["hobby"]) == 5
    values = [{trait.value for trait in some["hobby"]} for some in (seen, unseen)]
    assert not values[0] & values[1]
    assert values[0] | values[1] == {trait.value for trait in pools["hobby"]}
    assert split_pools(pools, 0.25, seed=1) == (seen, unseen)
