"""What an answer is worth: pure functions of texts and log-likelihoods, so that saved answers can be scored anew.

choices.py         the number of the chosen answer, by sum, by characters, by bytes, against a prior
filters.py         what is cut out of a generated text before it is compared
normalisation.py   when two texts count as the same
aggregation.py     one number of all items, and its standard error
"""
