"""What is wrong with a function: run it on many shapes, compare, name the known mistake, else say what the numbers say.

`check.py` goes through the shapes, `compare.py` compares results, `geometry.py` and `relations.py` describe a
difference, `heat_map.py` shows where it is, `exceptions.py` explains what was raised, `report.py` puts it on a screen.
"""
