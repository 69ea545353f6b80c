"""Chapter 04, RMSNorm: forward, backward, in half precision, as a kernel, and fused with the residual sum."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...layers.rmsnorm import RMSNormCache, rmsnorm_forward, rmsnorm_forward_fast
from ..exercise import Exercise, Mistake, Speed

AXES = ("batch", "position", "dim")
# Of every four rows one is so small that eps decides about it.
SCALES = np.array([3e-3, 1.0, 20.0, 0.05])


def _eps(n: int) -> float:
    """Models differ in eps: no function may know it."""
    return 1e-5 if n % 2 else 1e-6


def _rows(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """(n, d) of very different sizes, off centre; from the third row on the last one is padding, all zeros."""
    x = rng.normal(0.4, 1, size=(n, d)) * SCALES[np.arange(n) % 4][:, None]
    if n >= 3:
        x[-1] = 0
    return x.astype(np.float32)


def _weight(rng: np.random.Generator, d: int) -> np.ndarray:
    return rng.uniform(0.3, 2.5, d).astype(np.float32)


def _make(rng: np.random.Generator, B: int, T: int, D: int) -> tuple[Any, ...]:
    x = np.stack([_rows(rng, T, D) for _ in range(B)])
    return x, _weight(rng, D), _eps(T)


def _make_flat(rng: np.random.Generator, N: int, D: int) -> tuple[Any, ...]:
    return _rows(rng, N, D), _weight(rng, D), _eps(N)


# --- rmsnorm_forward ----------------------------------------------------------------------


def _forward(x, weight, eps):
    return rmsnorm_forward(x, weight, eps)[0]


def _mean_square(x, axis: Any = -1):
    return np.mean(x * x, axis=axis, keepdims=True)


def _layer_norm(x, weight, eps):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(_mean_square(centred) + eps) * weight


def _torch_forward(x, weight, eps):
    import torch

    wide = torch.tensor(x, dtype=torch.float64)
    return torch.nn.functional.rms_norm(wide, wide.shape[-1:], torch.tensor(weight, dtype=torch.float64), eps).numpy()


_OUTSIDE = Mistake(
    "Your function adds eps outside the root.",
    "It belongs to the mean square: sqrt(mean(x**2) + eps). A row of size 0.003 shows it: inside, eps 1e-5 takes "
    "away a third of the result; outside, next to nothing.",
    lambda x, w, eps: x / (np.sqrt(_mean_square(x)) + eps) * w,
)
_NO_EPS = Mistake(
    "Your function leaves out eps.",
    "Without eps a row of zeros is 0/0 = NaN, and noise of a very small row is blown up to size 1.",
    lambda x, w, eps: x / np.sqrt(_mean_square(x)) * w,
)
_SUM = Mistake(
    "Your function divides by the root of the sum of squares, not of their mean.",
    "That makes the length of a row 1. RMSNorm makes its root mean square 1: the length becomes sqrt(dim).",
    lambda x, w, eps: x / np.sqrt(np.sum(x * x, axis=-1, keepdims=True) + eps) * w,
)

FORWARD = Exercise(
    id="rmsnorm_forward",
    chapter="04",
    title="Bring rows to one size",
    task="Divide every row by its root mean square, eps inside the root, and scale it by the weight.",
    difficulty=1,
    minutes=10,
    reference=_forward,
    make=_make,
    shapes=(
        {"B": 1, "T": 1, "D": 4},
        {"B": 1, "T": 1, "D": 1},
        {"B": 2, "T": 2, "D": 3},
        {"B": 1, "T": 5, "D": 8},
        {"B": 3, "T": 7, "D": 64},
    ),
    axes=AXES,
    oracle=_torch_forward,
    op=lambda f: {"rmsnorm_forward": lambda x, w, eps: (f(x, w, eps), _cache_of(x, w, eps))},
    hints=(
        "Every row (the last axis) is treated by itself. One number for each row has to be found: which mean, and "
        "what is added to it before the root?",
        "np.mean(x * x, axis=-1, keepdims=True) has shape (B, T, 1), so that x divided by it works without a "
        "further index. eps is added to this, then the root is taken, and the weight multiplies the dims.",
        "mean_square = np.mean(x * x, axis=-1, keepdims=True)\nreturn x / np.sqrt(mean_square + eps) * weight",
    ),
    mistakes=(
        Mistake(
            "Your function subtracts the mean first: that is LayerNorm.",
            "RMSNorm does not centre: it divides by sqrt(mean(x**2) + eps), the mean of x itself is never computed.",
            _layer_norm,
        ),
        _OUTSIDE,
        _NO_EPS,
        _SUM,
        Mistake(
            "Your function divides by the mean square: the root is missing.",
            "A row ten times as large must give the same result; divided by its square it becomes ten times as small.",
            lambda x, w, eps: x / (_mean_square(x) + eps) * w,
        ),
        Mistake(
            "Your function divides by the mean of the absolute values.",
            "Root mean square: square, mean, root, in this order. The two means differ as soon as the numbers do.",
            lambda x, w, eps: x / (np.mean(np.abs(x), axis=-1, keepdims=True) + eps) * w,
        ),
        Mistake(
            "Your function scales by 1 + weight.",
            "Gemma stores its weights so. In LLaMA the weight is the factor itself; it starts at 1, not at 0.",
            lambda x, w, eps: _forward(x, w + 1, eps),
        ),
        Mistake(
            "Your function leaves out the weight.",
            "After the division every dim is multiplied by its own weight, one vector for all rows.",
            lambda x, w, eps: _forward(x, np.ones_like(w), eps),
        ),
        Mistake(
            "Your function takes one mean over all positions.",
            "Each row has its own: with a shared mean a token would see the tokens behind it. Use axis=-1.",
            lambda x, w, eps: x / np.sqrt(_mean_square(x, axis=(-2, -1)) + eps) * w,
        ),
        Mistake(
            "Your function uses eps = 1e-5 whatever it is given.",
            "Checkpoints differ (1e-5, 1e-6); the argument says which it is.",
            lambda x, w, eps: _forward(x, w, 1e-5),
        ),
    ),
)


def _cache_of(x, weight, eps) -> RMSNormCache:
    return RMSNormCache(x, weight, 1 / np.sqrt(_mean_square(x) + x.dtype.type(eps)))


# --- rmsnorm_backward ---------------------------------------------------------------------


def _make_backward(rng: np.random.Generator, B: int, T: int, D: int) -> tuple[Any, ...]:
    x, weight, eps = _make(rng, B, T, D)
    x = np.clip(x, -4, 4)  # the gradient of large rows is small: keep it within sight of the others'
    return rng.normal(size=x.shape).astype(np.float32), x, weight, eps


def rmsnorm_backward(dy, x, weight, eps):
    """The gradients (dx, dweight) of `rmsnorm_forward` for dy = d loss / d y.

    With r = 1 / sqrt(mean(x**2) + eps), x_hat = x * r and g = dy * weight:

        dx      = r * (g - x_hat * mean(g * x_hat))
        dweight = sum over rows of dy * x_hat
    """
    r = 1 / np.sqrt(_mean_square(x) + x.dtype.type(eps))
    x_hat, g = x * r, dy * weight
    dx = r * (g - x_hat * np.mean(g * x_hat, axis=-1, keepdims=True))
    return dx, np.sum(dy * x_hat, axis=tuple(range(x.ndim - 1)))


def _backward(
    dy, x, weight, eps, *, scale_g=True, through=1.0, mean=np.mean, r_inside=True, x_dweight=False, sum_rows=np.sum
):
    """`rmsnorm_backward` with one thing changed at a time."""
    r = 1 / np.sqrt(_mean_square(x) + x.dtype.type(eps))
    x_hat, g = x * r, dy * weight if scale_g else dy
    side = x_hat if r_inside else x
    dx = r * (g - through * side * mean(g * side, axis=-1, keepdims=True))
    return dx, sum_rows(dy * (x if x_dweight else x_hat), axis=tuple(range(x.ndim - 1)))


def _torch_backward(dy, x, weight, eps):
    import torch

    wide = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(weight, dtype=torch.float64, requires_grad=True)
    torch.nn.functional.rms_norm(wide, wide.shape[-1:], scale, eps).backward(torch.tensor(dy, dtype=torch.float64))
    assert wide.grad is not None
    assert scale.grad is not None
    return wide.grad.numpy(), scale.grad.numpy()


BACKWARD = Exercise(
    id="rmsnorm_backward",
    chapter="04",
    title="The gradient",
    task="From the gradient of the output, compute those of the input and of the weight.",
    difficulty=3,
    minutes=30,
    reference=rmsnorm_backward,
    make=_make_backward,
    shapes=(
        {"B": 1, "T": 1, "D": 4},
        {"B": 1, "T": 2, "D": 1},
        {"B": 2, "T": 2, "D": 3},
        {"B": 1, "T": 5, "D": 8},
        {"B": 3, "T": 4, "D": 33},
    ),
    axes=AXES,
    outputs=("dx", "dweight"),
    oracle=_torch_backward,
    hints=(
        "Write y = x_hat * weight and x_hat = x * r. x reaches the loss in two ways: directly, and through r, which "
        "depends on every number of the row.",
        "With g = dy * weight, the direct way gives r * g. The way through r takes away what would only change the "
        "size of the row: r * x_hat * mean(g * x_hat). dweight is summed over all rows (batch and position).",
        "r = 1 / np.sqrt(np.mean(x * x, -1, keepdims=True) + eps)\n"
        "x_hat, g = x * r, dy * weight\n"
        "dx = r * (g - x_hat * np.mean(g * x_hat, -1, keepdims=True))\n"
        "dweight = np.sum(dy * x_hat, axis=(0, 1))",
    ),
    mistakes=(
        Mistake(
            "Your dx takes the divisor for a constant: only the direct way is there.",
            "r depends on x as well. What is missing is r * x_hat * mean(g * x_hat), to be subtracted.",
            lambda dy, x, w, eps: _backward(dy, x, w, eps, through=0.0),
        ),
        Mistake(
            "Your dx adds the second term.",
            "A larger x means a smaller r: the way through the norm counts against the direct one.",
            lambda dy, x, w, eps: _backward(dy, x, w, eps, through=-1.0),
        ),
        Mistake(
            "Your dx does not know the weight.",
            "The gradient passes the multiplication by the weight first: g = dy * weight, in both terms.",
            lambda dy, x, w, eps: _backward(dy, x, w, eps, scale_g=False),
        ),
        Mistake(
            "Your dx uses a sum where a mean belongs.",
            "r holds the mean of the squares, so its derivative has 1/dim in it: mean(g * x_hat).",
            lambda dy, x, w, eps: _backward(dy, x, w, eps, mean=np.sum),
        ),
        Mistake(
            "Your second term of dx is made of x, not of x_hat: a factor r**2 is missing.",
            "The derivative of r is -r**3 * x / dim. Three factors r: one before the bracket, one for each x_hat.",
            lambda dy, x, w, eps: _backward(dy, x, w, eps, r_inside=False),
        ),
        Mistake(
            "Your dweight multiplies dy by x, not by the normalised x.",
            "The weight is multiplied by x_hat in the forward pass, so x_hat is its derivative.",
            lambda dy, x, w, eps: _backward(dy, x, w, eps, x_dweight=True),
        ),
        Mistake(
            "Your dweight is the mean over the rows, not their sum.",
            "One weight acts on every row, and the loss counts all of them: gradients add up. A mean over tokens, "
            "where wanted, is in dy already.",
            lambda dy, x, w, eps: _backward(dy, x, w, eps, sum_rows=np.mean),
        ),
        Mistake(
            "Your dweight is summed over the batch alone.",
            "One weight vector serves all positions of all sequences: sum over both axes.",
            lambda dy, x, w, eps: (
                _backward(dy, x, w, eps)[0],
                np.sum(dy * x / np.sqrt(_mean_square(x) + x.dtype.type(eps)), axis=0),
            ),
        ),
    ),
)

# --- rmsnorm_float16 ----------------------------------------------------------------------

# Squares of the first overflow, the sum of the second's does, the third's squares lose their digits.
_HALF_SCALES = np.array([600.0, 100.0, 2e-3, 1.0, 9000.0])


def _make_half(rng: np.random.Generator, N: int, D: int) -> tuple[Any, ...]:
    """float16 rows whose results lie clear of the middle between two float16 numbers, so that bits can be compared."""
    if D > 256:
        raise ValueError("D must be at most 256: longer rows seldom lie clear")
    weight, eps = rng.uniform(0.3, 2.5, D).astype(np.float16), 1e-5
    x = np.zeros((N, D), np.float16)
    for i in range(N):
        while True:
            signs = np.where(rng.random(D) < 0.4, -1, 1)
            x[i] = _HALF_SCALES[i % 5] * signs * rng.uniform(0.5, 1.5, D)
            wide = x[i].astype(np.float64)
            y = wide / np.sqrt(np.mean(wide * wide) + eps)
            if np.array_equal((y * (1 - 3e-6)).astype(np.float16), (y * (1 + 3e-6)).astype(np.float16)):
                break
    return x, weight, eps


def _half_squares(x, weight, eps):
    r = 1 / np.sqrt(np.mean((x * x).astype(np.float32), axis=-1, keepdims=True) + np.float32(eps))
    return (x.astype(np.float32) * r).astype(np.float16) * weight


def _half_all(x, weight, eps):
    return (x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float16(eps))) * weight


def _half_sum(x, weight, eps):
    wide = x.astype(np.float32)
    mean = np.mean(wide * wide, axis=-1, keepdims=True, dtype=np.float16)
    return (wide / np.sqrt(mean.astype(np.float32) + np.float32(eps))).astype(np.float16) * weight


def _wide(x, weight, eps):
    wide = x.astype(np.float32)
    return wide / np.sqrt(_mean_square(wide) + np.float32(eps)) * weight.astype(np.float32)


def _half_divisor(x, weight, eps):
    wide = x.astype(np.float32)
    r = (1 / np.sqrt(_mean_square(wide) + np.float32(eps))).astype(np.float16)
    return x * r * weight


def _transformers_half(x, weight, eps):
    import torch
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    norm = LlamaRMSNorm(x.shape[-1], eps=eps).half()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor(weight))
        return norm(torch.tensor(x)).numpy()


HALF = Exercise(
    id="rmsnorm_float16",
    chapter="04",
    title="Half precision",
    task="float16 in, float16 out, with the statistics in float32: bit for bit what Meta's model computes.",
    difficulty=2,
    minutes=15,
    reference=_forward,
    make=_make_half,
    shapes=(
        {"N": 1, "D": 4},
        {"N": 1, "D": 1},
        {"N": 3, "D": 3},
        {"N": 5, "D": 16},
        {"N": 10, "D": 48},
    ),
    axes=("row", "dim"),
    dtype_matters=True,
    oracle=_transformers_half,
    hints=(
        "float16 ends at 65504, so a square is infinite above 256. Which steps have to happen in a wider format, "
        "and where does the result return to float16?",
        "Widen x before the first multiplication. Square, mean, eps, root and the division are float32; then round "
        "to float16; the multiplication by the weight comes after the rounding, as in Meta's code.",
        "wide = x.astype(np.float32)\n"
        "wide = wide / np.sqrt(np.mean(wide * wide, axis=-1, keepdims=True) + np.float32(eps))\n"
        "return wide.astype(x.dtype) * weight",
    ),
    mistakes=(
        Mistake(
            "Your function squares in float16: everything above 256 becomes infinite.",
            "Widen first, square then: np.mean(x.astype(np.float32) ** 2). Converting the squares comes too late.",
            _half_squares,
        ),
        Mistake(
            "Your function computes everything in float16.",
            "Squares above 65504 are infinite and make their row zero, squares below 6e-8 vanish. "
            "x.astype(np.float32) first.",
            _half_all,
        ),
        Mistake(
            "Your function adds the squares up in float16.",
            "Each square is right, the sum passes 65504 or loses its small terms. Accumulate in float32.",
            _half_sum,
        ),
        Mistake(
            "Your function returns float32.",
            "dtype in = dtype out: the next layer would run in float32 from here on and take twice the memory. "
            "Round the normalised row to x.dtype.",
            _wide,
        ),
        Mistake(
            "Your function multiplies by the weight before it rounds to float16.",
            "That is more exact, but other bits than the model was trained with: Meta and Hugging Face round the "
            "normalised row, then multiply in float16.",
            lambda x, w, eps: _wide(x, w, eps).astype(np.float16),
        ),
        Mistake(
            "Your function rounds 1/rms to float16 and multiplies there.",
            "The reciprocal of a large root has few digits left in float16 (below 6e-5 they run out). Multiply in "
            "float32, round the product.",
            _half_divisor,
        ),
        Mistake(
            "Your function leaves out eps.",
            "Only rows of a size near sqrt(eps) show it: there eps is as large as the mean square itself.",
            lambda x, w, eps: _forward(x, w, 0.0),
        ),
    ),
)

# --- rmsnorm_kernel -----------------------------------------------------------------------


def _fast(x, weight, eps):
    return rmsnorm_forward_fast(x, weight, eps)[0]


def _naive(x, weight, eps):
    y = np.empty_like(x)
    n, d = x.shape
    for i in range(n):
        total = 0.0
        for j in range(d):
            total += float(x[i, j]) ** 2
        r = 1 / (total / d + eps) ** 0.5
        for j in range(d):
            y[i, j] = x[i, j] * r * weight[j]
    return y


def _with_sums(x, weight, eps, sums, count=None):
    """RMSNorm of rows with given sums of squares."""
    return (x / np.sqrt(sums / (count or x.shape[1]) + eps) * weight).astype(x.dtype)


def _sums_of(x):
    return np.sum(x.astype(np.float64) ** 2, axis=1, keepdims=True)


def _unrolled(x, weight, eps):
    whole = x.shape[1] // 4 * 4
    return _with_sums(x, weight, eps, _sums_of(x[:, :whole]))


def _unrolled_write(x, weight, eps):
    y = _forward(x, weight, eps)
    y[:, x.shape[1] // 4 * 4 :] = 0
    return y


def _torch_rows(x, weight, eps):
    import torch

    return torch.nn.functional.rms_norm(x, weight.shape, weight, eps)


KERNEL = Exercise(
    id="rmsnorm_kernel",
    chapter="04",
    title="The fused kernel",
    task="The same for rows (N, D), as loops for Numba: two passes over a row and no temporary array.",
    difficulty=2,
    minutes=20,
    reference=_forward,
    make=_make_flat,
    shapes=(
        {"N": 1, "D": 4},
        {"N": 1, "D": 1},
        {"N": 2, "D": 3},
        {"N": 5, "D": 9},
        {"N": 7, "D": 66},
    ),
    axes=("row", "dim"),
    oracle=_torch_forward,
    op=lambda f: {
        "rmsnorm_forward": lambda x, w, eps: (
            f(np.ascontiguousarray(x).reshape(-1, x.shape[-1]), w, eps).reshape(x.shape),
            _cache_of(x, w, eps),
        )
    },
    speed=Speed(
        dims={"N": 1024, "D": 576},
        flops=lambda N, D: 4 * N * D,
        bytes=lambda N, D: 4 * (2 * N * D + D),
        naive=_naive,
        fast=_fast,
        torch=_torch_rows,
    ),
    hints=(
        "For each row: one loop adds up the squares, then one number is computed, then a second loop writes the "
        "results. Write it in plain Python first; Numba's @njit takes it as it is.",
        "The sum starts at 0 for every row anew, inside the loop over rows. The output is np.empty_like(x).",
        "for i in range(x.shape[0]):\n"
        "    total = 0.0\n"
        "    for j in range(x.shape[1]):\n"
        "        total += x[i, j] * x[i, j]\n"
        "    r = 1 / np.sqrt(total / x.shape[1] + eps)\n"
        "    ...                      # second loop: y[i, j] = x[i, j] * r * weight[j]",
    ),
    mistakes=(
        Mistake(
            "Your sum goes on from row to row: it is not set back to 0.",
            "The accumulator belongs inside the loop over rows. The first row is right, later ones come out too small.",
            lambda x, w, eps: _with_sums(x, w, eps, np.cumsum(_sums_of(x), axis=0)),
        ),
        Mistake(
            "Your function divides the sum by the number of rows.",
            "The mean is over the dims of one row: divide by x.shape[1].",
            lambda x, w, eps: _with_sums(x, w, eps, _sums_of(x), len(x)),
        ),
        Mistake(
            "Your function normalises every row with the first row's number.",
            "Each row has its own root mean square: compute it inside the loop over rows.",
            lambda x, w, eps: _with_sums(x, w, eps, _sums_of(x[:1])),
        ),
        Mistake(
            "Your sum leaves out the last dims when their number is no multiple of 4.",
            "A loop that takes four at a time needs a second one for the rest: from d // 4 * 4 to d.",
            _unrolled,
        ),
        Mistake(
            "Your function writes nothing into the last dims when their number is no multiple of 4.",
            "The loop that writes four at a time needs a second one for the rest: from d // 4 * 4 to d.",
            _unrolled_write,
        ),
        _OUTSIDE,
        _NO_EPS,
        _SUM,
    ),
)

# --- add_rmsnorm --------------------------------------------------------------------------


def _make_add(rng: np.random.Generator, N: int, D: int) -> tuple[Any, ...]:
    x, weight, eps = _make_flat(rng, N, D)
    update = rng.normal(size=x.shape) * SCALES[np.arange(N) % 4][:, None]
    return x, update.astype(np.float32), weight, eps


def add_rmsnorm(x, update, weight, eps):
    """The residual stream after an update, and its normalised copy for the next layer: (h, y)."""
    h = x + update
    return h, _forward(h, weight, eps)


def _torch_add(x, update, weight, eps):
    import torch

    h = torch.tensor(x, dtype=torch.float64) + torch.tensor(update, dtype=torch.float64)
    return h.numpy(), _torch_forward(h.numpy(), weight, eps)


ADD = Exercise(
    id="add_rmsnorm",
    chapter="04",
    title="Where the norm stands",
    task="Add a layer's result to the residual stream and normalise a copy for the next layer: (h, y).",
    difficulty=1,
    minutes=10,
    reference=add_rmsnorm,
    make=_make_add,
    shapes=(
        {"N": 1, "D": 4},
        {"N": 1, "D": 1},
        {"N": 2, "D": 3},
        {"N": 5, "D": 8},
        {"N": 7, "D": 65},
    ),
    axes=("row", "dim"),
    outputs=("h", "y"),
    oracle=_torch_add,
    hints=(
        "Pre-norm: the stream h goes on as it is, nothing ever divides it. The next layer reads a normalised copy.",
        "h is the plain sum. y is rmsnorm_forward of which of the three: x, update or h?",
        "h = x + update\nreturn h, rmsnorm_forward(h, weight, eps)",
    ),
    mistakes=(
        Mistake(
            "Your function passes the normalised rows on as the stream.",
            "That is post-norm, as in the first Transformer. In LLaMA the stream itself is never normalised: "
            "return the sum as h.",
            lambda x, u, w, eps: (_forward(x + u, w, eps), _forward(x + u, w, eps)),
        ),
        Mistake(
            "Your y is the norm of the stream before the update.",
            "The next layer must see what this one has written: normalise h, not x.",
            lambda x, u, w, eps: (x + u, _forward(x, w, eps)),
        ),
        Mistake(
            "Your y is the norm of the update alone.",
            "The next layer reads the whole stream: normalise h = x + update.",
            lambda x, u, w, eps: (x + u, _forward(u, w, eps)),
        ),
        Mistake(
            "Your function normalises the update before it is added.",
            "A layer's result is added as it is; its input was normalised.",
            lambda x, u, w, eps: add_rmsnorm(x, _forward(u, w, eps), w, eps),
        ),
        Mistake(
            "Your h is the stream without the update.",
            "The stream carries the sum of all layers' results: h = x + update, and y is made from it.",
            lambda x, u, w, eps: (x, _forward(x + u, w, eps)),
        ),
    ),
)

EXERCISES = (FORWARD, BACKWARD, HALF, KERNEL, ADD)
