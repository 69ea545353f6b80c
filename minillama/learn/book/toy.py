"""The toy that runs through the book: three words, two numbers each, so that every vector is an arrow in the plane.

The numbers are chosen by hand: how alive a thing is, and how edible. A dog is alive, a bone is edible, and "it" may be
either. Chapters in turn compute their embedding and loss (03), norm (04), rotation (05), scores (06) and gradients
(14); where a chapter leaves a part out, it says so. The real model then reads the same words in `SENTENCE`.
"""

from __future__ import annotations

import numpy as np

from ...compute.array_types import Float32

WORDS = ("dog", "bone", "it")
AXES = ("alive", "edible")
VECTORS: Float32 = np.array([[1, 0], [0, 1], [0.5, 0.5]], np.float32)  # (3, 2), a row for each word
VECTORS.flags.writeable = False  # every chapter begins with the same numbers
SENTENCE = "The dog buried the bone because it was hungry."
