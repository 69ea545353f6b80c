"""Chapter 01, NumPy to Numba: memory, threads that share it, and sums of float32."""

from __future__ import annotations

import time
import weakref
from typing import Any

import numpy as np

from ...inference.sampling import softmax
from ...quantization.kernels import matvec_plain
from ..exercise import Exercise, Mistake, Speed

_LARGE = 30_000  # elements: smaller arrays are done before a second thread has begun
_SECONDS = 0.1
_RACING: weakref.WeakSet[Any] = weakref.WeakSet()


def _in_threads(function, args):
    """What the function returns; where runs on the same arguments differ, the reason is said.

    Small arrays run on one thread: a race that shows itself once in a thousand runs helps nobody. Large ones
    run on all threads, again and again for a moment. Who has raced once is told so in every later run.
    """
    import numba

    large = max(a.size for a in args if isinstance(a, np.ndarray)) >= _LARGE
    before = numba.get_num_threads()
    if not large:
        numba.set_num_threads(1)
    try:
        result = function(*args)
    finally:
        numba.set_num_threads(before)
    learners = getattr(function, "__module__", "") != __name__
    if large and learners and (function in _RACING or not _repeats(function, args, result)):
        _RACING.add(function)
        raise RuntimeError(
            "runs on the same arguments gave different results: a data race. Two threads add to one place in "
            "memory, and one of the two additions is lost"
        )
    return result


def _repeats(function, args, result):
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        if not _nearly(result, function(*args)):
            return False
    return True


def _nearly(a: Any, b: Any) -> bool:
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray) or a.dtype.kind != "f":
        return True
    with np.errstate(all="ignore"):
        size = float(np.abs(a).max(initial=0.0))
        return not np.isfinite(size) or (a.shape == b.shape and bool(np.all(np.abs(a - b) <= 1e-3 * size)))


# --- c_strides ----------------------------------------------------------------------------


def _make_shape(rng: np.random.Generator, n_axes: int, itemsize: int) -> tuple[Any, ...]:
    if itemsize not in (1, 2, 4, 8):
        raise ValueError("no dtype of that size")
    return [int(n) for n in rng.permutation(np.arange(2, 3 + n_axes))[:n_axes]], itemsize


def _strides(shape, itemsize):
    return list(np.empty(shape, f"V{itemsize}").strides)


C_STRIDES = Exercise(
    id="c_strides",
    chapter="01",
    title="How far is the next element?",
    task="The strides of a C-contiguous array: for every axis, the bytes from one element to the next.",
    difficulty=1,
    minutes=5,
    reference=_strides,
    make=_make_shape,
    shapes=(
        {"n_axes": 1, "itemsize": 4},
        {"n_axes": 2, "itemsize": 1},
        {"n_axes": 2, "itemsize": 4},
        {"n_axes": 3, "itemsize": 8},
        {"n_axes": 4, "itemsize": 2},
    ),
    axes=("axis",),
    exact=True,
    hints=(
        "The last axis is the one whose elements are neighbours: its stride is the size of an element.",
        "To go one step along an axis, all elements of the axes behind it have to be passed.",
        "strides, step = [], itemsize\nfor n in reversed(shape):\n    strides.insert(0, step)\n    step *= n",
    ),
    mistakes=(
        Mistake(
            "Your function counts elements, not bytes.",
            "NumPy's strides are in bytes: multiply by itemsize.",
            lambda shape, itemsize: [s // itemsize for s in _strides(shape, itemsize)],
        ),
        Mistake(
            "Your function gives the strides of Fortran's order.",
            "There the first axis is the one of neighbours. NumPy's default is C's order: the last axis is.",
            lambda shape, itemsize: list(np.empty(shape, f"V{itemsize}", order="F").strides),
        ),
        Mistake(
            "Your function includes the axis itself.",
            "One step along an axis passes the elements of the axes behind it: shape[i + 1:], not shape[i:].",
            lambda shape, itemsize: [s * n for s, n in zip(_strides(shape, itemsize), shape)],
        ),
        Mistake(
            "Your function adds the sizes of the axes behind.",
            "A step passes whole rows of whole planes: the sizes multiply.",
            lambda shape, itemsize: [max(sum(shape[i + 1 :]), 1) * itemsize for i in range(len(shape))],
        ),
        Mistake(
            "Your strides are right, from the last axis to the first.",
            "strides[0] belongs to axis 0: turn the list round, or insert at its beginning.",
            lambda shape, itemsize: _strides(shape, itemsize)[::-1],
        ),
    ),
)

# --- cache_lines_read -----------------------------------------------------------------------


def _make_walk(
    rng: np.random.Generator, first: int, step: int, count: int, itemsize: int, line: int
) -> tuple[Any, ...]:
    if itemsize not in (1, 2, 4, 8) or line not in (32, 64, 128) or step < 1 or count < 1:
        raise ValueError("elements of 1, 2, 4 or 8 bytes, lines of 32, 64 or 128")
    return first * itemsize, step * itemsize, count, itemsize, line


def _lines(address, stride, count, itemsize, line):
    addresses = address + stride * np.arange(count)
    return len(np.unique(addresses // line))


CACHE_LINES_READ = Exercise(
    id="cache_lines_read",
    chapter="01",
    title="What memory really delivers",
    task="Count the cache lines that a walk through memory touches: `count` elements, `stride` bytes apart.",
    difficulty=2,
    minutes=10,
    reference=_lines,
    make=_make_walk,
    shapes=tuple(
        dict(zip(("first", "step", "count", "itemsize", "line"), numbers))
        for numbers in (
            (0, 1, 16, 4, 64),
            (15, 1, 2, 4, 64),
            (3, 2, 37, 4, 64),
            (0, 576, 30, 4, 64),
            (7, 5, 100, 2, 128),
            (60, 1, 1000, 1, 32),
        )
    ),
    exact=True,
    hints=(
        "Memory comes in lines of `line` bytes that begin at multiples of `line`. In which line does the byte at an "
        "address lie?",
        "Element i begins at address + i * stride, in line number (address + i * stride) // line. Elements never "
        "cross a line here. Several may share one: count different numbers.",
        "return len({(address + i * stride) // line for i in range(count)})",
    ),
    mistakes=(
        Mistake(
            "Your function counts a line for every element.",
            "Neighbours share a line: sixteen float32 fit in one of 64 bytes. Count different line numbers.",
            lambda address, stride, count, itemsize, line: count,
        ),
        Mistake(
            "Your function takes the elements as neighbours, whatever the stride.",
            "With a stride of 2304 bytes, every element lies in a line of its own.",
            lambda address, stride, count, itemsize, line: -(-count * itemsize // line),
        ),
        Mistake(
            "Your function counts all lines between the first element and the last.",
            "With a stride above the size of a line, some lines in between are never touched.",
            lambda address, stride, count, itemsize, line: (
                (address + stride * (count - 1)) // line - address // line + 1
            ),
        ),
        Mistake(
            "Your function lets the walk begin at the beginning of a line.",
            "Two neighbours may lie on both sides of a border: the address counts.",
            lambda address, stride, count, itemsize, line: _lines(0, stride, count, itemsize, line),
        ),
        Mistake(
            "Your function forgets the line in which the walk begins.",
            "From line 3 to line 5 there are three lines, not two.",
            lambda address, stride, count, itemsize, line: _lines(address, stride, count, itemsize, line) - 1,
        ),
    ),
)

# --- roofline_seconds -----------------------------------------------------------------------


def _make_work(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Work on both sides of the ridge, and some close to it."""
    bandwidth, peak = float(rng.uniform(5e9, 5e10)), float(rng.uniform(5e10, 5e11))
    n_bytes = rng.uniform(1e3, 1e9, n)
    intensity = peak / bandwidth * 4.0 ** rng.uniform(-2, 2, n)
    if n > 1:
        intensity[:2] = peak / bandwidth * np.array([0.25, 4])
    return (n_bytes * intensity), n_bytes, peak, bandwidth


def _roofline(flops, n_bytes, peak_flops, bandwidth):
    return np.maximum(flops / peak_flops, n_bytes / bandwidth)


ROOFLINE_SECONDS = Exercise(
    id="roofline_seconds",
    chapter="01",
    title="The roofline",
    task="The least seconds that work can take on a machine of a given bandwidth and peak, as a roofline says.",
    difficulty=1,
    minutes=5,
    reference=_roofline,
    make=_make_work,
    shapes=({"n": 1}, {"n": 2}, {"n": 3}, {"n": 8}, {"n": 50}),
    axes=("kernel",),
    hints=(
        "Arithmetic takes flops / peak_flops seconds, memory n_bytes / bandwidth. Both go on at the same time.",
        "The slower of the two decides.",
        "return np.maximum(flops / peak_flops, n_bytes / bandwidth)",
    ),
    mistakes=(
        Mistake(
            "Your function adds the two times.",
            "A CPU computes while the next numbers are on their way: the longer time is what remains.",
            lambda f, b, peak, bandwidth: f / peak + b / bandwidth,
        ),
        Mistake(
            "Your function takes the shorter of the two times.",
            "The result is there when both are done: the maximum.",
            lambda f, b, peak, bandwidth: np.minimum(f / peak, b / bandwidth),
        ),
        Mistake(
            "Your function looks at memory alone.",
            "Work with many operations for each byte is limited by the arithmetic.",
            lambda f, b, peak, bandwidth: b / bandwidth,
        ),
        Mistake(
            "Your function looks at arithmetic alone.",
            "Work with few operations for each byte waits for memory; decoding a token is of that kind.",
            lambda f, b, peak, bandwidth: f / peak,
        ),
        Mistake(
            "Your function returns operations per second, the height of the roof.",
            "Divide the work by it: seconds = flops / min(peak_flops, bandwidth * flops / n_bytes).",
            lambda f, b, peak, bandwidth: np.minimum(peak, bandwidth * f / b),
        ),
    ),
    rtol=1e-5,
)

# --- stable_softmax -------------------------------------------------------------------------


def _make_scores(rng: np.random.Generator, B: int, T: int, V: int) -> tuple[Any, ...]:
    """Rows at very different heights, some wide, one with masked entries."""
    heights = np.where(rng.random((B, T, 1)) < 0.5, -1.0, 1.0) * rng.uniform(150, 400, (B, T, 1))
    widths = np.where(np.arange(B * T).reshape(B, T, 1) % 3 == 1, 60.0, 2.0)
    x = (heights + widths * rng.normal(size=(B, T, V))).astype(np.float32)
    if V > 2:
        x[-1, -1, rng.integers(0, V - 1)] = -np.inf
    return (x,)


def _softmax(x):
    return softmax(x).astype(x.dtype)


def _exp_over_sum(x, shift, axis=-1):
    e = np.exp(x - shift)
    return e / e.sum(axis=axis, keepdims=True)


def _torch_softmax(x):
    import torch

    return torch.softmax(torch.tensor(x, dtype=torch.float64), dim=-1).numpy()


STABLE_SOFTMAX = Exercise(
    id="stable_softmax",
    chapter="01",
    title="A softmax that cannot overflow",
    task="Softmax over the last axis that is right for any finite scores, however large, and for masked ones (-inf).",
    difficulty=1,
    minutes=10,
    reference=_softmax,
    make=_make_scores,
    shapes=(
        {"B": 1, "T": 1, "V": 2},
        {"B": 1, "T": 1, "V": 1},
        {"B": 1, "T": 3, "V": 4},
        {"B": 3, "T": 5, "V": 7},
        {"B": 2, "T": 3, "V": 65},
    ),
    axes=("batch", "position", "score"),
    oracle=_torch_softmax,
    hints=(
        "float32 ends at about exp(88.7). Which constant may be subtracted from all scores of a row without changing "
        "the result?",
        "Subtract the largest score of each row (keepdims=True): the largest exponential is then 1, and none can "
        "overflow.",
        "e = np.exp(x - x.max(axis=-1, keepdims=True))\nreturn e / e.sum(axis=-1, keepdims=True)",
    ),
    mistakes=(
        Mistake(
            "Your function takes the exponential of the scores as they are.",
            "exp(89) is infinite in float32, and exp(-104) is 0: inf/inf and 0/0 are NaN. Subtract the largest score "
            "of each row first; the result stays the same.",
            lambda x: _exp_over_sum(x, np.float32(0)),
        ),
        Mistake(
            "Your function subtracts one maximum from all rows.",
            "A row that lies far below it becomes all zeros, and 0/0 is NaN. Each row has a maximum of its own: "
            "axis=-1, keepdims=True.",
            lambda x: _exp_over_sum(x, x.max()),
        ),
        Mistake(
            "Your function subtracts the smallest score.",
            "Then the largest exponential can still overflow, and a masked score (-inf) makes everything NaN.",
            lambda x: _exp_over_sum(x, x.min(axis=-1, keepdims=True)),
        ),
        Mistake(
            "Your function subtracts the mean of the scores.",
            "A wide row can still overflow, and one masked score makes the mean -inf. Subtract the maximum.",
            lambda x: _exp_over_sum(x, x.mean(axis=-1, keepdims=True)),
        ),
        Mistake(
            "Your function cuts the scores off at 88 instead of shifting them.",
            "All scores above the limit become equal, and those far below are still 0. Subtract the row's maximum.",
            lambda x: _exp_over_sum(np.minimum(x, np.float32(88)), np.float32(0)),
        ),
        Mistake(
            "Your function divides by the sum of all rows together.",
            "Each row is a distribution of its own: sum over the last axis, with keepdims=True.",
            lambda x: _exp_over_sum(x, x.max(axis=-1, keepdims=True), axis=None),
        ),
        Mistake(
            "Your function normalises over positions, not over scores.",
            "The scores of one position sum to 1: axis=-1 for the maximum and for the sum.",
            lambda x: _exp_over_sum(x, x.max(axis=-2, keepdims=True), axis=-2),
        ),
        Mistake(
            "Your function returns the exponentials, without dividing.",
            "Probabilities sum to 1: divide by the sum of the row.",
            lambda x: np.exp(x - x.max(axis=-1, keepdims=True)),
        ),
    ),
)

# --- parallel_matvec ------------------------------------------------------------------------


def _make_matrix(rng: np.random.Generator, n_out: int, n_in: int) -> tuple[Any, ...]:
    return rng.normal(size=(n_out, n_in)).astype(np.float32), rng.normal(size=n_in).astype(np.float32)


def _matvec(weight, x):
    return weight @ x


def _matvec_fast(weight, x):
    y = np.empty(len(weight), x.dtype)
    matvec_plain(x, weight, y)
    return y


def _matvec_loops(weight, x):
    y = np.zeros(len(weight), x.dtype)
    for i in range(weight.shape[0]):
        for j in range(weight.shape[1]):
            y[i] += weight[i, j] * x[j]
    return y


def _transposed(weight, x):
    return x @ weight


def _without_last_rows(weight, x):
    y = _matvec(weight, x)
    y[len(y) // 4 * 4 :] = 0
    return y


def _matvec_op(function):
    """Row after row of x; a packed matrix is unpacked once."""
    unpacked: dict[int, tuple[Any, Any]] = {}

    def linear_forward(x, weight):
        if isinstance(weight, np.ndarray):
            plain = weight
        else:
            _, plain = unpacked.setdefault(id(weight), (weight, weight.to_float32()))
        rows = [function(plain, row) for row in x.reshape(-1, x.shape[-1])]
        return np.stack(rows).reshape(*x.shape[:-1], len(plain)), None

    return {"linear_forward": linear_forward}


def _torch_matvec(weight, x):
    import torch

    return (torch.tensor(weight, dtype=torch.float64) @ torch.tensor(x, dtype=torch.float64)).numpy()


PARALLEL_MATVEC = Exercise(
    id="parallel_matvec",
    chapter="01",
    title="Matrix times vector, on all cores",
    task="Multiply a matrix with a vector, with the rows shared out to threads by prange.",
    difficulty=2,
    minutes=20,
    reference=_matvec,
    make=_make_matrix,
    shapes=(
        {"n_out": 3, "n_in": 3},
        {"n_out": 1, "n_in": 1},
        {"n_out": 2, "n_in": 5},
        {"n_out": 7, "n_in": 18},
        {"n_out": 33, "n_in": 6},
        {"n_out": 259, "n_in": 131},
    ),
    axes=("row",),
    observe=_in_threads,
    oracle=_torch_matvec,
    op=_matvec_op,
    speed=Speed(
        dims={"n_out": 4096, "n_in": 4096},
        flops=lambda n_out, n_in: 2.0 * n_out * n_in,
        bytes=lambda n_out, n_in: 4.0 * (n_out * n_in + n_in + n_out),
        naive=_matvec_loops,
        fast=_matvec_fast,
        torch=lambda weight, x: weight @ x,
    ),
    atol=1e-5,
    hints=(
        "Each output is the sum of one row times x. Which loop can be shared out to threads so that no two threads "
        "write to the same place?",
        "@njit(parallel=True), prange over the rows, range over the columns. Add up in a variable that begins at 0 for "
        "every row, then write it once.",
        "for i in prange(weight.shape[0]):\n    total = np.float32(0)\n    for j in range(weight.shape[1]):\n"
        "        total += weight[i, j] * x[j]\n    y[i] = total",
    ),
    mistakes=(
        Mistake(
            "Your function multiplies with the transposed matrix.",
            "weight is (n_out, n_in): y[i] is the sum over j of weight[i, j] * x[j].",
            _transposed,
        ),
        Mistake(
            "Your sum is not set to 0 for every row: each row has all earlier ones in it.",
            "The variable that adds up belongs inside the loop over rows.",
            lambda weight, x: np.cumsum(weight @ x),
        ),
        Mistake(
            "Your function leaves out the last columns, those that do not fill a group of four.",
            "n_in need not be a multiple of the group: add the rest in a loop of its own.",
            lambda weight, x: weight[:, : len(x) // 4 * 4] @ x[: len(x) // 4 * 4],
        ),
        Mistake(
            "Your function leaves out the last rows, those that do not share out evenly in fours.",
            "The rows left over belong to somebody too: the last part goes to the end, or let prange share out "
            "the rows themselves.",
            _without_last_rows,
        ),
        Mistake(
            "Your function keeps the last product of each row instead of the sum.",
            "`total += ...`, not `total = ...`.",
            lambda weight, x: weight[:, -1] * x[-1],
        ),
        Mistake(
            "Your function cuts every product to an integer.",
            "A sum that begins as the integer 0 stays one if it is kept in an integer array: np.float32(0).",
            lambda weight, x: np.trunc(weight * x).sum(axis=1),
        ),
    ),
)

# --- scatter_add_parallel -------------------------------------------------------------------


def _make_gradient(rng: np.random.Generator, n_tokens: int, vocab_size: int, dim: int) -> tuple[Any, ...]:
    """Ids that repeat, and in larger vocabularies some that never occur: among these the last one."""
    ids = rng.integers(0, max(1, vocab_size - 1), n_tokens)
    return ids, rng.normal(size=(n_tokens, dim)).astype(np.float32), vocab_size


def _scatter(ids, rows, vocab_size):
    out = np.zeros((vocab_size, rows.shape[1]), np.float64)
    np.add.at(out, ids, rows)
    return out.astype(rows.dtype)


def _last_wins(ids, rows, vocab_size):
    out = np.zeros((vocab_size, rows.shape[1]), rows.dtype)
    out[ids] += rows
    return out


def _last_thread_wins(ids, rows, vocab_size):
    out = np.zeros((vocab_size, rows.shape[1]), rows.dtype)
    for part in np.array_split(np.arange(len(ids)), 2):
        own = _scatter(ids[part], rows[part], vocab_size)
        seen = np.unique(ids[part])
        out[seen] = own[seen]
    return out


def _without_rest(ids, rows, vocab_size):
    n = len(ids) // 4 * 4
    return _scatter(ids[:n], rows[:n], vocab_size)


def _mean_of_rows(ids, rows, vocab_size):
    counts = np.bincount(ids, minlength=vocab_size)[:, None]
    return (_scatter(ids, rows, vocab_size) / np.maximum(counts, 1)).astype(rows.dtype)


def _torch_scatter(ids, rows, vocab_size):
    """The gradient of an embedding, by autograd."""
    import torch

    table = torch.zeros((vocab_size, rows.shape[1]), dtype=torch.float64, requires_grad=True)
    looked_up = torch.nn.functional.embedding(torch.tensor(ids), table)
    looked_up.backward(torch.tensor(rows, dtype=torch.float64))
    assert table.grad is not None
    return table.grad.numpy()


SCATTER_ADD_PARALLEL = Exercise(
    id="scatter_add_parallel",
    chapter="01",
    title="Fix a data race",
    task="Add each row to the place that its id names, on several threads, without losing a single one.",
    difficulty=3,
    minutes=25,
    reference=_scatter,
    make=_make_gradient,
    shapes=(
        {"n_tokens": 2, "vocab_size": 2, "dim": 1},
        {"n_tokens": 1, "vocab_size": 1, "dim": 3},
        {"n_tokens": 7, "vocab_size": 4, "dim": 3},
        {"n_tokens": 30, "vocab_size": 9, "dim": 5},
        {"n_tokens": 20000, "vocab_size": 3, "dim": 4},
    ),
    axes=("id", "dim"),
    observe=_in_threads,
    oracle=_torch_scatter,
    atol=1e-5,
    hints=(
        "Two threads may hold rows of the same id. What can be shared out instead of the tokens, so that every place "
        "of the result belongs to one thread?",
        "Two ways. Share out the columns: each thread goes through all tokens, for its columns alone. Or give every "
        "thread a table of its own, and add the tables when all are done.",
        "@njit(parallel=True)\ndef add(ids, rows, out):\n    for j in prange(rows.shape[1]):\n"
        "        for t in range(len(ids)):\n            out[ids[t], j] += rows[t, j]",
    ),
    mistakes=(
        Mistake(
            "Your function keeps one row of each id, the last one.",
            "`out[ids] += rows` reads out[ids] once, adds, and writes: of equal ids only the last write remains. That "
            "is a lost update without any threads. A loop, or np.add.at, adds every one.",
            _last_wins,
        ),
        Mistake(
            "Your function keeps what one thread has added and loses the other's.",
            "Private tables have to be added at the end, not copied over one another: out += table.",
            _last_thread_wins,
        ),
        Mistake(
            "Your function leaves out the last tokens, those that do not share out evenly in fours.",
            "The last part goes to the end of the tokens: ids[start:] or min(stop, len(ids)).",
            _without_rest,
        ),
        Mistake(
            "Your function adds as many rows as the largest id asks for.",
            "Ids that do not occur have a row of zeros: the result has vocab_size rows.",
            lambda ids, rows, vocab_size: _scatter(ids, rows, int(ids.max()) + 1),
        ),
        Mistake(
            "Your function takes the mean of the rows of an id.",
            "A token that occurs three times has three gradients, and they add up.",
            _mean_of_rows,
        ),
        Mistake(
            "Your function adds every row on two threads: all is there twice.",
            "Each part has to begin where the one before it ends; or the columns are shared out AND the tokens too.",
            lambda ids, rows, vocab_size: 2 * _scatter(ids, rows, vocab_size),
        ),
    ),
)

# --- pairwise_sum ---------------------------------------------------------------------------


def _make_long(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """A large number, then many small ones that a running sum rounds off again and again."""
    x = np.full(n, rng.uniform(0.55, 0.7)) * rng.uniform(0.99, 1.01, n)
    x[0] = 4.0 * n
    return (x.astype(np.float32),)


def _sum(x):
    return x.dtype.type(np.sum(x, dtype=np.float64))


def _running(x):
    return np.cumsum(x)[-1]


def _drops_odd(x):
    while len(x) > 1:
        x = x[: len(x) // 2] + x[len(x) // 2 : 2 * (len(x) // 2)]
    return x[0]


def _skips_middle(x):
    if len(x) < 3:
        return _sum(x)
    middle = len(x) // 2
    return _skips_middle(x[:middle]) + _skips_middle(x[middle + 1 :])


def _first_half_twice(x):
    return x[0] if len(x) == 1 else 2 * _first_half_twice(x[: (len(x) + 1) // 2])


def _torch_sum(x):
    import torch

    return torch.tensor(x, dtype=torch.float64).sum().numpy()


PAIRWISE_SUM = Exercise(
    id="pairwise_sum",
    chapter="01",
    title="Pairwise summation",
    task="Add up many float32 numbers so that the error does not grow with their count: halves, and halves of halves.",
    difficulty=2,
    minutes=15,
    reference=_sum,
    make=_make_long,
    shapes=({"n": 1}, {"n": 2}, {"n": 3}, {"n": 7}, {"n": 1000}, {"n": 60001}),
    oracle=_torch_sum,
    rtol=1e-5,
    hints=(
        "A running sum gets large, and a small number added to a large one loses its last digits. When are both "
        "summands about the same size?",
        "The sum of an array is the sum of its first half plus the sum of its second half, both found the same way. "
        "Short arrays (up to a hundred or so) may be added in a loop.",
        "if len(x) <= 32:\n    add up in a loop of float32, return\nmiddle = len(x) // 2\n"
        "return pairwise_sum(x[:middle]) + pairwise_sum(x[middle:])",
    ),
    mistakes=(
        Mistake(
            "Your function adds one number after the other to a float32.",
            "Once the sum is large, every addition rounds off a part of the small number, always the same way here. "
            "Add halves to halves, so that both summands are of one size.",
            _running,
        ),
        Mistake(
            "Your function loses the last number of every array of odd length.",
            "The two halves of 7 are 3 and 4: x[:middle] and x[middle:].",
            _drops_odd,
        ),
        Mistake(
            "Your function skips the number in the middle.",
            "x[:middle] ends before the middle, so the second half has to begin with it: x[middle:].",
            _skips_middle,
        ),
        Mistake(
            "Your function adds the first half to itself.",
            "The two recursive calls need different halves.",
            _first_half_twice,
        ),
        Mistake(
            "Your function returns the mean.",
            "The sum is wanted: do not divide by the number of elements.",
            lambda x: _sum(x) / np.float32(len(x)),
        ),
    ),
)

EXERCISES = (
    C_STRIDES,
    CACHE_LINES_READ,
    ROOFLINE_SECONDS,
    STABLE_SOFTMAX,
    PARALLEL_MATVEC,
    SCATTER_ADD_PARALLEL,
    PAIRWISE_SUM,
)
