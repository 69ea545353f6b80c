"""Attention as Numba kernels. From naive to fast: the reference in `layers/attention.py` holds all scores; `few`
reads the keys once for a few queries (a decoded token); `tiles` takes many queries in tiles (a prompt); `backward`
is the gradient in the same tiles.
"""
