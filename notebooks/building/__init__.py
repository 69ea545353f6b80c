"""How chapters are executed and what is asked of them; `notebooks/build.py` and the tests use it.

sources.py reads a chapter and folds its cells; executing.py runs it and measures; outputs.py compares what is stored
with what came out today; form.py says what a chapter has to have; giveaways.py finds answers that stand there before
the question.
"""
