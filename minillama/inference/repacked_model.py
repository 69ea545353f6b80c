"""A model for the CPU: every matrix repacked, all of them in one stretch of memory; what fused.py runs on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compute.array_types import Float32
from ..compute.simd_bytes import DOT4
from ..model import output_head
from ..params import LayerExtras, LayerParams, Params, extras_of
from ..quantization.formats import format_name
from ..quantization.repacked import ROWS, RepackedMatrix, aligned_bytes, release_pages, repack, repacked_bytes, round_up

MATRICES = ("wq", "wk", "wv", "wo", "w_gate", "w_up", "w_down")
_BIASES = ("bq", "bk", "bv", "bo", "b_gate", "b_up", "b_down")
# Bytes of float matrices up to which a model is copied; a larger one is read where it is mapped.
_MOST_FLOATS = 1 << 30


class RepackedModel(NamedTuple):
    """A model whose matrices all lie repacked in one stretch of memory.

    Attributes
    ----------
    params : Params
        Of RepackedMatrix; `output` is there even when the head is tied, `token_embedding`
        stays packed, because rows of it are looked up.
    data : uint8 ndarray
    layouts : int64 ndarray of shape (n_layers, 7, 8)
        A `MatrixLayout` for each of wq, wk, wv, wo, w_gate, w_up, w_down.
    head : int64 ndarray of shape (8,)
    norms : float32 ndarray of shape (2 * n_layers + 1, dim)
    biases : float32 ndarray of shape (n_layers, …)
        For each layer what is added to the products of QKV, OUT, GATE_UP and DOWN, in whole groups of rows as they
        come; of width 0 where a model has none, as LLaMA 2.
    head_norms : float32 ndarray of shape (n_layers, 2, head_dim)
        Of queries and keys; of width 0 where a model has none.
    quantized : bool
        Whether any matrix has integer products.
    """

    params: Params
    data: NDArray[np.uint8]
    layouts: NDArray[np.int64]
    head: NDArray[np.int64]
    norms: Float32
    biases: Float32
    head_norms: Float32
    quantized: bool


def _stacked_biases(params: Params) -> Float32:
    """See `RepackedModel.biases`; zeros for a matrix that has none where another has one."""
    if all(getattr(extras, name) is None for extras in extras_of(params) for name in _BIASES):
        return np.empty((len(params.layers), 0), np.float32)
    return np.stack([_biases_of(layer, extras) for layer, extras in zip(params.layers, extras_of(params))])


def _biases_of(layer: LayerParams, extras: LayerExtras) -> Float32:
    parts = []
    for name, matrix in zip(_BIASES, MATRICES):
        part = np.zeros(round_up(getattr(layer, matrix).shape[0], ROWS), np.float32)
        bias = getattr(extras, name)
        if bias is not None:
            part[: len(bias)] = bias
        parts.append(part)
    return np.concatenate(parts)


def _stacked_head_norms(params: Params) -> Float32:
    """See `RepackedModel.head_norms`."""
    norms = [[extras.q_norm, extras.k_norm] for extras in extras_of(params)]
    return np.array(norms, np.float32) if norms[0][0] is not None else np.empty((len(norms), 2, 0), np.float32)


def repack_model(params: Params, *, anyway: bool = False) -> RepackedModel | None:
    """Rearrange every matrix of a model.

    Returns None when one of them has another format, when quantised ones would need an
    instruction that this CPU does not have (unpacking is faster then), or when float ones are so
    large that a second copy may not fit in memory. `anyway` leaves the last two reasons aside.
    """
    matrices = [getattr(layer, name) for layer in params.layers for name in MATRICES] + [output_head(params)]
    sizes = [repacked_bytes(matrix) for matrix in matrices]
    in_floats = [format_name(matrix) in ("F32", "F16", "BF16") for matrix in matrices]
    if any(size is None for size in sizes):
        return None
    bytes_of_floats = sum(size or 0 for size, is_float in zip(sizes, in_floats) if is_float)
    if not anyway and ((not all(in_floats) and DOT4 == "portable") or bytes_of_floats > _MOST_FLOATS):
        return None
    data = aligned_bytes(sum(size or 0 for size in sizes))
    arrays: list[RepackedMatrix] = []
    at = 0
    for matrix, size in zip(matrices, sizes):
        arrays.append(repack(matrix, data, at))
        release_pages(matrix)
        at += size or 0
    rearranged = iter(arrays)
    layers = [layer._replace(**{name: next(rearranged) for name in MATRICES}) for layer in params.layers]
    layouts = np.array([array.layout for array in arrays], np.int64)
    norms = [norm for layer in params.layers for norm in (layer.attention_norm, layer.ffn_norm)]
    return RepackedModel(
        Params(params.token_embedding, tuple(layers), params.final_norm, arrays[-1], params.extras),
        data,
        layouts[:-1].reshape(len(layers), len(MATRICES), -1),
        layouts[-1],
        np.stack([*norms, params.final_norm]).astype(np.float32),
        _stacked_biases(params),
        _stacked_head_norms(params),
        any(array.is_quantized for array in arrays),
    )
