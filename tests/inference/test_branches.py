"""Branches of a tree in one feed: what each gives alone, to the last bit."""

from itertools import pairwise

import numpy as np
import pytest
from blas_kernels import assert_same_rows
from interrupts import interrupt

import minillama
from minillama.inference.branches import Branch
from minillama.inference.runner import runner_for
from minillama.kv_cache import ContextFullError, KVCache
from minillama.params import init_params
from minillama.trees import map_tree


@pytest.fixture(params=[False, True], ids=["as loaded", "exact"])
def llm(request):
    return minillama.load("stories3M", exact=request.param)


def branch(start, ids, wanted=None):
    ids = np.array(ids, np.int64)
    return Branch(start, ids, np.arange(len(ids)) if wanted is None else np.array(wanted, np.int64))


def alone(llm, ids):
    """Logits of every token of a sequence, in one feed of its own."""
    return llm.runner.extend_branches([branch(0, ids)], KVCache(llm.config))


@pytest.fixture
def tree(rng):
    """Five sequences, and the branches that they are: two leave the trunk, one leaves a branch, one is another root."""
    trunk, a, b, c, d = (rng.integers(3, 2000, n).tolist() for n in (130, 9, 1, 70, 5))
    sequences = [trunk, trunk + a, trunk + a[:4] + b, trunk[:64] + c, d]
    branches = [branch(0, trunk), branch(130, a), branch(134, b), branch(64, c), branch(0, d)]
    return sequences, branches


def test_each_gives_what_it_gives_alone(llm, tree):
    sequences, branches = tree
    cache = KVCache(llm.config)
    logits = llm.runner.extend_branches(branches, cache)
    first = 0
    for ids, one in zip(sequences, branches):
        assert_same_rows(logits[first : first + len(one.ids)], alone(llm, ids)[one.start :], llm.runner)
        first += len(one.ids)
    assert cache.lengths.tolist() == [5]


@pytest.mark.parametrize("n_kv_heads", [1, 2, 4])
def test_small_matrices_too(rng, n_kv_heads):
    """BLAS has kernels of its own for small products, which ended where a feed had more rows: other last bits."""
    sizes = {"dim": 64, "n_layers": 3, "n_heads": 4, "n_kv_heads": n_kv_heads, "hidden_dim": 128}
    config = minillama.ModelConfig(**sizes, vocab_size=300, max_seq_len=512)
    params = map_tree(lambda a: 8 * a if a.ndim == 2 else a, init_params(config, np.random.default_rng(0)))
    runner = runner_for(params, config, exact=True)
    branches = [branch(0, rng.integers(3, 300, n).tolist()) for n in (9, 60, 130, 300)]
    together = runner.extend_branches(branches, KVCache(config))
    one_by_one = [runner.extend_branches([one], KVCache(config)) for one in branches]
    assert_same_rows(together, np.concatenate(one_by_one), runner)


def test_as_a_session_says(llm, tree):
    for ids in tree[0]:
        expected = llm.session().feed_all(ids)
        np.testing.assert_allclose(alone(llm, ids), expected, atol=5e-3, rtol=0)


@pytest.mark.parametrize("cuts", [[1], [6, 7], [64], [63, 65, 128], [100]])
def test_cuts_change_no_bit(llm, tree, cuts):
    ids, cache = tree[0][3], KVCache(llm.config)
    borders = [0, *cuts, len(ids)]
    parts = [llm.runner.extend_branches([branch(a, ids[a:b])], cache) for a, b in pairwise(borders)]
    assert_same_rows(np.concatenate(parts), alone(llm, ids), llm.runner)


def test_only_wanted_rows_come(llm, tree):
    sequences, branches = tree
    cache = KVCache(llm.config)
    some = [
        one._replace(wanted=np.array(wanted, np.int64)) for one, wanted in zip(branches, ([], [0, 8], [0], [], [4]))
    ]
    logits = llm.runner.extend_branches(some, cache)
    expected = [alone(llm, sequences[1])[[130, 138]], alone(llm, sequences[2])[134:], alone(llm, sequences[4])[4:]]
    assert_same_rows(logits, np.concatenate(expected), llm.runner)
    none = [one._replace(wanted=np.arange(0)) for one in branches]
    cache.truncate(0)
    assert llm.runner.extend_branches(none, cache).shape == (0, llm.config.vocab_size)


def test_keys_of_float16_and_a_function_of_ones_own(tree):
    ids = tree[0][1]
    halves = minillama.load("stories3M", kv_dtype=np.float16)
    logits = halves.runner.extend_branches([branch(0, ids)], KVCache(halves.config, dtype=np.float16))
    np.testing.assert_allclose(logits, halves.session().feed_all(ids), atol=5e-3, rtol=0)
    own = minillama.load("stories3M", ops=minillama.REFERENCE)
    np.testing.assert_allclose(alone(own, ids), own.session().feed_all(ids), atol=5e-3, rtol=0)


def test_after_an_interrupt_the_cache_holds_what_all_share(llm, tree):
    sequences, branches = tree
    cache, n_lines = KVCache(llm.config), 0
    expected = llm.runner.extend_branches(branches[1:4], filled(llm, cache, sequences[0]))
    names = ("inference/branches.py", "inference/runner.py", "model.py", "kv_cache.py")
    while interrupt(
        lambda: llm.runner.extend_branches(branches[1:4], filled(llm, cache, sequences[0])), n_lines, names
    ):
        assert cache.lengths[0] in (0, 64, 130, 134)
        n_lines += 97
    assert n_lines > 97
    np.testing.assert_array_equal(llm.runner.extend_branches(branches[1:4], filled(llm, cache, sequences[0])), expected)


def filled(llm, cache, ids):
    """The cache, holding a sequence."""
    cache.truncate(0)
    llm.runner.extend_branches([branch(0, ids, [])], cache)
    return cache


def test_what_does_not_fit_is_refused(llm, tree):
    cache = KVCache(llm.config, max_seq_len=100)
    with pytest.raises(ContextFullError):
        llm.runner.extend_branches(tree[1], cache)
    with pytest.raises(ValueError, match="cannot cut"):
        llm.runner.extend_branches([branch(1, [5])], KVCache(llm.config))


def test_a_fork_with_a_beginning_goes_on_alike(llm, tree):
    ids = tree[0][0]
    cache = filled(llm, KVCache(llm.config), ids)
    beginning = cache.beginning_of(64)
    whole, shared = cache.fork(len(ids)), cache.fork(len(ids), beginning)
    assert shared.beginning is beginning
    assert shared.nbytes <= whole.nbytes
    token = np.array([[7]])
    np.testing.assert_array_equal(llm.runner.extend(token, whole), llm.runner.extend(token, shared))
