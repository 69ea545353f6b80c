"""Attention as Numba kernels. From naive to fast: the reference in `layers/attention.py` holds all scores; `few`
reads the keys once for the heads of a decoded token; `many` does the same, step by step, for tiles of a prompt's
queries; both rest on the `products`. `backward` is the gradient, in tiles of its own (`tiles`).
"""
