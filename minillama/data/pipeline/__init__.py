"""`minillama data filter`: passes over files of texts that survive any interruption."""
