"""The benchmarks, a file each: what is asked, which shots stand before it, what counts as right.

    catalogue.py   all tasks by name, and the groups that stand for several
    groups.py      MMLU's areas, and the columns of the LLaMA 2 paper's tables
    items.py       documents and settings to items: the requests, word for word those of lm-evaluation-harness 0.4.13
    shots.py       which shots stand before a question
    building.py    the two kinds of tasks most benchmarks are
    fields.py      reading a document strictly: one sentence where something is missing

A task named `…@llama2` follows the protocol of the LLaMA papers where it differs from the harness's; its docstring or
comment says what the papers say and what they leave open. Prompts, patterns and the spelling of gsm8k.py's worked
solutions are taken from lm-evaluation-harness 0.4.13 (MIT, copyright 2020 EleutherAI), so that results can be compared.
"""
