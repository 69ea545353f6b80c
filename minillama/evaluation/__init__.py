"""How good a model is, and how far the number can be trusted: LLaMA 2's section 2.3 and 4, on a laptop.

    common/       the nouns: a task, an item, a request to a model and its answer
    tasks/        the benchmarks: what is asked, which examples stand before it, what counts as right
    sources/      where their documents come from: local files, each benchmark's own files, the Hub
    engine/       asks a model: what requests share is computed once, and nothing is asked twice
    statistics/   intervals, comparisons of two models, contamination
    results/      the folder of a run, readable by lm-evaluation-harness's tools, and its report page
    preference/   which of two answers is better, in the eyes of a program, a model or a person
    red_team/     attacks, violations, false refusals
    run.py        one evaluation from tasks to results

Prompts, tokens and scores are those of lm-evaluation-harness 0.4.13 item by item, where it has the task; a task
named `…@llama2` follows the protocol of the LLaMA papers where that is another.
"""
