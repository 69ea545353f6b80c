"""Batches: every token once an epoch, sources by their weights, the same on every call; validation in bytes."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_shards import small_tokenizer

from minillama.data.batches import Batches, Source, even_order, paper_mix, period_shares, validation_batches
from minillama.data.shards.reading import write_shards

WORDS = ["hello", "old", "we", "he", "word x", "x x", "lord", "deer", "owl", "reed 🙂"]


def write(folder, n_documents, seed=0, shard_tokens=37):
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, 9))) for _ in range(n_documents)]
    return write_shards(texts, small_tokenizer(), folder, shard_tokens=shard_tokens)


@pytest.fixture
def small(tmp_path):
    return write(tmp_path / "small", 7)


@pytest.fixture
def large(tmp_path):
    return write(tmp_path / "large", 40, seed=1)


def stream(batches, n_rows, source=0):
    """Tokens of the first rows of one source, in order, with the last row's last target."""
    rows = {}
    for step in itertools.count():
        tokens, targets = batches.batch(step)
        for (which, row), x, y in zip(batches.rows(step), tokens, targets):
            if which == source:
                rows[row] = (x, y)
        if len(rows) >= n_rows:
            break
    assert sorted(rows) == list(range(len(rows)))
    for n in range(n_rows):
        assert (rows[n][0][1:] == rows[n][1][:-1]).all()
        if n:
            assert rows[n - 1][1][-1] == rows[n][0][0]  # a row continues where the one before ended
    return np.concatenate([*(rows[n][0] for n in range(n_rows)), rows[n_rows - 1][1][-1:]])


# --- one source ------------------------------------------------------------------------------


@pytest.mark.parametrize("seq_len", [1, 5, 16, 1000])
def test_every_document_once_in_an_epoch(small, seq_len):
    batches = Batches([Source("a", small)], batch_size=3, seq_len=seq_len, seed=5)
    n_epochs = 4
    row = stream(batches, -(-n_epochs * small.n_tokens // seq_len))
    documents = sorted(tuple(small.document(i).tolist()) for i in range(small.n_documents))
    orders = set()
    for epoch in range(n_epochs):
        part = row[epoch * small.n_tokens : (epoch + 1) * small.n_tokens]
        begins = np.flatnonzero(part == small.bos_id)
        found = [tuple(doc.tolist()) for doc in np.split(part, begins)[1:]]
        assert sorted(found) == documents
        orders.add(tuple(found))
    assert len(orders) == n_epochs  # each in an order of its own


def test_targets_are_the_next_tokens(small):
    tokens, targets = Batches([Source("a", small)], 4, 8).batch(3)
    assert tokens.shape == targets.shape == (4, 8)
    assert tokens.dtype == targets.dtype == np.int64
    assert (tokens[:, 1:] == targets[:, :-1]).all()


def test_a_batch_depends_on_seed_and_step_only(small, large):
    def make(seed=1):
        return Batches([Source("a", small, 1), Source("b", large, 2)], 5, 11, seed=seed)

    one, other = make(), make()
    expected = [one.batch(step) for step in range(30)]
    for step in (29, 0, 17, 3, 3):  # in any order, again and again
        for found, wanted in zip(other.batch(step), expected[step]):
            assert np.array_equal(found, wanted)
    assert not np.array_equal(make(seed=2).batch(0)[0], expected[0][0])
    far = 10**9
    assert np.array_equal(make().batch(far)[0], make().batch(far)[0])


def test_batches_belong_to_the_caller(small):
    batches = Batches([Source("a", small)], 2, 6)
    tokens, targets = batches.batch(0)
    expected = tokens.copy(), targets.copy()
    tokens[:], targets[:] = -1, -2
    assert (targets == -2).all()
    assert np.array_equal(batches.batch(0)[0], expected[0])


def test_the_order_is_the_same_in_another_process(small):
    """Python's own hashes differ between processes, these orders must not."""
    code = (
        "from minillama.data.batches import *; from minillama.data.shards.reading import TokenShards\n"
        f"s = TokenShards({str(small.folder)!r})\n"
        "print(Batches([Source('a', s), Source('b', s, 3)], 4, 9, seed=7).batch(5)[0].tolist())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    here = Batches([Source("a", small), Source("b", small, 3)], 4, 9, seed=7).batch(5)[0].tolist()
    assert found.strip() == str(here)


def test_the_order_never_changes(small):
    """Golden: a run that was begun with an earlier version continues with the same data."""
    from minillama.data.batches import _shuffled

    assert _shuffled(10, "stories", "epoch", 3, 2).tolist() == [0, 5, 9, 7, 2, 4, 6, 8, 1, 3]


# --- several sources -------------------------------------------------------------------------

weights_of_sources = st.lists(st.floats(0.01, 100).map(lambda w: round(w, 2)), min_size=1, max_size=7)


@settings(max_examples=60, deadline=None)
@given(weights_of_sources)
def test_counts_stay_within_one_of_the_weights(weights):
    parts = period_shares(weights)
    order = even_order(parts)
    n = np.arange(1, order.size + 1)
    for i, part in enumerate(parts):
        behind = n * part / order.size - np.cumsum(order == i)
        assert np.abs(behind).max() < 1
        assert behind[-1] == 0
        assert part / order.size == pytest.approx(weights[i] / sum(weights), abs=2e-5)


def test_rows_follow_the_weights_at_any_step(small, large):
    weights = [0.5, 3.0, 1.25]
    batches = Batches([Source(n, s, w) for n, s, w in zip("abc", (small, large, small), weights)], 7, 3)
    counts = np.zeros(3, int)
    for step in range(200):
        for source, row in batches.rows(step):
            assert row == counts[source]  # rows of a source come one after the other
            counts[source] += 1
            assert np.abs(counts - counts.sum() * np.array(weights) / sum(weights)).max() < 1
        seen = batches.epochs(step + 1)
        for name, shards, count in zip("abc", (small, large, small), counts):
            assert seen[name] == pytest.approx(count * 3 / shards.n_tokens)


def test_periods():
    """Exact where the weights have few decimals; long periods are rounded, and no source is lost."""
    parts = period_shares([part.weight for part in paper_mix()])
    assert parts == [134, 30, 9, 9, 9, 5, 4]
    parts = period_shares([1e-9, 1, 1 / 3])
    assert min(parts) == 1
    assert sum(parts) <= (1 << 16) + 1


def test_weights_not_sizes_decide(small, large):
    batches = Batches([Source("small", small, 3), Source("large", large, 1)], 8, 10)
    epochs = batches.epochs(100)
    ratio = epochs["small"] / epochs["large"]
    assert ratio == pytest.approx(3 * large.n_tokens / small.n_tokens)


def test_the_published_mix():
    assert sum(part.weight for part in paper_mix()) == 100
    assert {part.name: part.weight for part in paper_mix()}["Wikipedia"] == 4.5


def test_sources_that_do_not_fit(small, tmp_path):
    other = write_shards(["x"], small_tokenizer(extra=1), tmp_path / "other")
    with pytest.raises(ValueError, match="at least one source"):
        Batches([], 1, 1)
    with pytest.raises(ValueError, match="different names"):
        Batches([Source("a", small), Source("a", small)], 1, 1)
    with pytest.raises(ValueError, match="different tokenizers"):
        Batches([Source("a", small), Source("b", other)], 1, 1)
    for weight in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="weight of a"):
            Batches([Source("a", small, weight)], 1, 1)
    for options in ({"batch_size": 0}, {"seq_len": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            Batches([Source("a", small)], **({"batch_size": 1, "seq_len": 1} | options))
    with pytest.raises(ValueError, match="some must be left"):
        Batches([Source("a", small)], 1, 1, n_held_out=7)
    with pytest.raises(ValueError, match="step"):
        Batches([Source("a", small)], 1, 1).batch(-1)


# --- validation ------------------------------------------------------------------------------


def test_held_out_documents_are_never_seen(large):
    batches = Batches([Source("a", large)], 2, 13, seed=4, n_held_out=6)
    held = batches.held_out("a")
    assert held.size == np.unique(held).size == 6
    assert np.array_equal(Batches([Source("a", large)], 1, 5, seed=9, n_held_out=6).held_out("a"), held)
    left = sum(len(large.document(i)) for i in range(large.n_documents) if i not in held)
    row = stream(batches, -(-left // 13))[:left]
    found = {tuple(doc.tolist()) for doc in np.split(row, np.flatnonzero(row == 1))[1:]}
    assert found == {tuple(large.document(i).tolist()) for i in range(large.n_documents) if i not in held}
    n_targets = sum((y != -100).sum() for _, y in validation_batches(large, 1000, 4, held).batches)
    assert n_targets == sum(len(large.document(int(i))) - 1 for i in held)
    with pytest.raises(ValueError, match="no source is named 'b'"):
        batches.held_out("b")


@pytest.mark.parametrize("eos", [False, True])
@pytest.mark.parametrize("seq_len", [1, 2, 3, 8, 1000])
def test_validation_covers_the_bytes_of_its_targets(tmp_path, seq_len, eos):
    tokenizer = small_tokenizer()
    texts = ["hello 🙂 old", " x", "", "é", "we were here", "  two", "🙂"]
    shards = write_shards(texts, tokenizer, tmp_path / "t", eos=eos)
    batches, n_bytes = validation_batches(shards, seq_len, 3)
    rows = [row for tokens, targets in batches for row in zip(tokens, targets)]
    expected = []
    for i in range(len(texts)):
        document = shards.document(i)[: seq_len + 1]
        if len(document) > 1:
            expected.append(document.tolist())
    found = []
    for tokens, targets in rows:
        n = int((targets != -100).sum())
        assert (targets[n:] == -100).all()
        assert (tokens[n:] == 0).all()
        found.append([*tokens[:n].tolist(), int(targets[n - 1])])
        assert found[-1][1:] == targets[:n].tolist()
    assert sorted(found) == sorted(expected)
    whole = [tokenizer.stream() for _ in expected]
    raw = 0
    for ids, decoder in zip(expected, whole):
        decoder._utf8.feed = lambda data: data  # the bytes themselves, half characters too
        raw += sum(len(data) for data in map(decoder.feed, ids) if isinstance(data, bytes))
    assert n_bytes == raw
    if seq_len == 1000:
        assert n_bytes == shards.n_text_bytes


def test_documents_of_a_length_share_a_batch(large):
    batches, _ = validation_batches(large, 50, 6)
    lengths = [(y != -100).sum(1) for _, y in batches]
    assert [len(n) for n in lengths[:-1]] == [6] * (len(lengths) - 1)
    flat = np.concatenate(lengths)
    assert (np.diff(flat) >= 0).all()
    assert all(tokens.shape[1] == n.max() for (tokens, _), n in zip(batches, lengths))


def test_without_bos_the_first_token_has_no_bytes(tmp_path):
    """Nothing predicts it."""
    tokenizer = small_tokenizer()
    tokenizer.bos_id, tokenizer.add_bos = None, False
    shards = write_shards(["xe old"], tokenizer, tmp_path / "t", eos=True)
    assert tokenizer.token_text(shards.document(0)[0]) == "▁x"
    assert validation_batches(shards, 100, 1).n_bytes == len("e old")


def test_nothing_to_validate(tmp_path):
    shards = write_shards([""], small_tokenizer(), tmp_path / "t")
    with pytest.raises(ValueError, match="nothing to predict"):
        validation_batches(shards, 5, 5)
    with pytest.raises(ValueError, match="at least 1"):
        validation_batches(shards, 0, 5)
    with pytest.raises(ValueError, match="document 3"):
        validation_batches(shards, 5, 5, [3])
