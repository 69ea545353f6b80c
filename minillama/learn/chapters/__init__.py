"""The exercises of the book: a folder for each chapter, a file for each exercise.

A chapter's `__init__.py` has the text that stands at the top of the learner's file; EXERCISES, the ids in their order;
CORE, those on the core path, about half; and NEEDS, the chapters that come before it on the map of the book. Beside the
exercises stand `inputs.py` (arguments and shapes that several exercises share), `variants.py` (functions, right and
wrong ones, that the mistakes of several exercises are made of), `shared.py` (what several solutions call) and
`given.py` (constants that the learner's file begins with), where a chapter needs them.

Starters and solutions in `exercises/`, and the tables of exercises in `notebooks/`, are generated from these files by
`python -m minillama.learn.generate`.
"""
