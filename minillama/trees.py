"""Trees: anything with arrays in it. A model, its gradients, its moments, a backbone with a head of its own.

    class RewardModel(NamedTuple):
        backbone: Params
        head: Float

A tree is a nest of NamedTuples, tuples and lists. None stands where a leaf is absent; everything
else is a leaf: an array, a packed matrix, a tensor. Every leaf has a name, its path from the root:
`layers.0.wq` in a `Params`, `backbone.layers.0.wq` and `head` in the model above. Optimizer,
clipping and checkpoints know leaves and names, and nothing of models.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

Tree = Any
"""A nest of NamedTuples, tuples and lists of arrays; Python's types cannot say it."""

T = TypeVar("T")


def children(tree: Tree) -> Iterator[tuple[str, Tree]] | None:
    """Names and values one level down; None where `tree` is a leaf."""
    if not isinstance(tree, tuple | list):
        return None
    return zip(getattr(tree, "_fields", map(str, range(len(tree)))), tree)


def named_leaves(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield `(name, leaf)` for every leaf, in the order of the fields."""
    if tree is None:
        return
    parts = children(tree)
    if parts is None:
        yield prefix, tree
        return
    for name, part in parts:
        yield from named_leaves(part, f"{prefix}.{name}" if prefix else name)


def digest_of_tree(tree: Tree) -> str:
    """A digest of the names and the bytes of all leaves, arrays, as they are now: what a run that starts from them is
    bound to.
    """
    found = hashlib.blake2b(digest_size=16)
    for name, leaf in named_leaves(tree):
        found.update(name.encode())
        found.update(np.ascontiguousarray(leaf).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def map_named(function: Callable[..., Any], tree: T, *others: Tree, name: str = "") -> T:
    """A tree like `tree`: at every leaf `function(name, leaf, …)` with the leaves at the same place of the others.

    Raises
    ------
    ValueError
        When a tree is built differently; the message names the place.
    """
    if tree is None and all(other is None for other in others):
        return tree
    parts = children(tree)
    for other in others:
        if tree is None or other is None or _differ(tree, other, parts is None):
            place = name or "the root"
            raise ValueError(f"the trees differ at {place}: {_shown(tree)} in one, {_shown(other)} in another")
    if parts is None:
        return function(name, tree, *others)
    inner = [
        map_named(function, part, *(other[i] for other in others), name=f"{name}.{key}" if name else key)
        for i, (key, part) in enumerate(parts)
    ]
    return _rebuilt(tree, inner)


def _differ(tree: Tree, other: Tree, is_leaf: bool) -> bool:
    if is_leaf:
        return isinstance(other, tuple | list)
    fields = getattr(tree, "_fields", None)
    return not isinstance(other, tuple | list) or len(other) != len(tree) or getattr(other, "_fields", None) != fields


def _rebuilt(tree: Any, parts: list[Any]) -> Any:
    return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)


def _shown(tree: Tree) -> str:
    if tree is None:
        return "nothing"
    if not isinstance(tree, tuple | list):
        return f"a leaf ({type(tree).__name__})"
    return f"{type(tree).__name__} of {len(tree)}"


def map_tree(function: Callable[..., Any], tree: T, *others: Tree) -> T:
    """A tree like `tree` of what `function` makes of the leaves that stand at the same place of every tree."""
    return map_named(lambda name, *leaves: function(*leaves), tree, *others)


def zeros_like(tree: T) -> T:
    """Zeros of the same shapes and dtypes."""
    return map_tree(np.zeros_like, tree)


def add(total: T, more: Tree) -> T:
    """`total` += `more`, in place, leaf by leaf."""
    map_tree(lambda a, b: np.add(a, b, out=a), total, more)
    return total


def norm(tree: Tree) -> float:
    """The length of the tree, all its leaves taken as one vector; NaN or inf if a number of it is."""
    return math.sqrt(sum(float(np.square(leaf, dtype=np.float64).sum()) for _, leaf in named_leaves(tree)))
