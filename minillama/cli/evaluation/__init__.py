"""`minillama eval`: run, list, show, compare, rate and redteam, each in a file of its own."""
