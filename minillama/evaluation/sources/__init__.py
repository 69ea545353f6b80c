"""Where documents come from: the reader's own folders first, then the Hugging Face Hub.

    reading.py     Sources: a dataset's split as documents
    places.py      which files of a folder hold a split: SPLIT.jsonl, and the names that authors gave to theirs
    rows.py        JSON lines, JSON arrays, CSV, Parquet and label lists, row by row, within bounds
    originals.py   rows as a benchmark's authors wrote them become rows as the Hub has them
    pages.py       WikiText's one long text as pages
    schemas.py     the fields that a row must have, and of which type
    hub.py         which files of a dataset repository hold a split, and getting them

What is wrong in a file is a `DocumentError` with its line, raised before a task or a model sees a document.
"""
