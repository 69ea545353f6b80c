"""Asks a model: what requests share is computed once, nothing is asked twice, and the same bits come out each time.

    encoding.py     requests as tokens, exactly as lm-evaluation-harness 0.4.13 divides and cuts them
    planning.py     sequences sorted into a tree, and the tree into feeds
    likelihoods.py  log-probabilities of what a plan holds
    generating.py   greedy continuations, several at a time
    store.py        answers kept on disk: by model, arithmetic, version and request
    cost.py         tokens, minutes and cut requests, before anything runs
    engine.py       requests in, answers out

Left out: sampling, which no task asks for, and several processes on one list of requests.
"""
