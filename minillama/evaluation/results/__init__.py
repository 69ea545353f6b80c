"""What an evaluation found: scores with their uncertainty, a folder on disk, a page to read.

baselines.py      what answering without reading the question would score
scores.py         a metric of a task: value, standard error, 95 % interval
task_result.py    a task with its items, answered, and its scores
groups.py         means over several tasks: MMLU's areas, the paper's columns
evaluation.py     all of it as one value; prints itself (table.py)
cautions.py       what must be said beside the numbers, in sentences
settings.py       what makes two runs the same run
folder.py         what is where on disk, and who may write it
samples.py harness_files.py   items and results as lm-evaluation-harness writes them
report.py         the page, in HTML (report.html, plot.py) and Markdown; what it says is in summary.py, examples.py
calibration.py    how often an option that has probability p is the right one
paper.py          the figures of arXiv:2307.09288, quoted
shown.py          one item as `minillama eval show` prints it
"""
