"""How far a score can be trusted: pure functions on arrays, and what runs have saved.

resampled.py      statistics that are computed for thousands of resamples at once: mean, ratio, perplexity
intervals.py      the interval of a score: Wilson for shares, bootstrap for everything else
errors.py         standard errors, as the harness has them, and for items in clusters
paired.py         two models on the same items: difference, interval, p, items that would be needed
mcnemar.py        … where an item is right or wrong
permutation.py    … for any other score
multiplicity.py   several comparisons at once
power.py          how many items an interval or a difference takes
seeds.py          what of a few-shot score is due to the draw of its shots
contamination.py  scores on items that the training data holds, and on those that it does not
"""
