"""What an evaluation found: scores with their uncertainty, a folder on disk, a page to read.

baselines     what answering without reading the question would score
scores        a metric of a task: value, standard error, 95 % interval
groups        means over several tasks: MMLU's areas, the paper's groups
evaluation    all of it as one value; prints itself as a table
cautions      what must be said beside the numbers, in sentences
calibration   how often an option that has probability p is the right one
paper         the figures of arXiv:2307.09288, quoted
settings      what makes two runs the same run
folder        what is where on disk, and who may write it
harness_files results and samples as lm-evaluation-harness writes them
report        the page: one HTML file, and Markdown
"""
