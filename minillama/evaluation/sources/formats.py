"""The rows of a file by the format that its name ends in; Parquet through the library pyarrow, if it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .array import array_rows
from .errors import DocumentError
from .rows import MAX_BYTES, MAX_ROWS, Row, csv_rows, json_lines

ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".csv", ".parquet")
_BATCH_ROWS = 32


def read_rows(path: Path, key: str | None = None) -> Iterator[Row]:
    """The rows of a file, each with its line, at most `MAX_ROWS`.

    Parameters
    ----------
    path : Path
        .jsonl, .jsonl.gz, .json with an array, .csv with a row of names, or .parquet.
    key : str, optional
        Where a .json file is an object, the key of its array of rows.

    Raises
    ------
    DocumentError
        At the first row that cannot be read.
    """
    name = path.name.lower()
    if name.endswith(".parquet"):
        rows = parquet_rows(path)
    elif name.endswith(".csv"):
        rows = csv_rows(path)
    elif name.endswith(".json"):
        rows = array_rows(path, key)
    else:
        rows = json_lines(path)
    for number, row in enumerate(rows):
        if number == MAX_ROWS:
            raise DocumentError(f"expected at most {MAX_ROWS} documents, found more", path, row[0])
        yield row


def parquet_rows(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file; their number stands where others have a line."""
    pyarrow, parquet = parquet_library(path)
    number = 0
    try:
        with path.open("rb") as raw, parquet.ParquetFile(raw) as file:
            size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
            if file.metadata.num_rows > MAX_ROWS or size > MAX_BYTES:
                raise DocumentError(f"expected at most {MAX_ROWS} documents and {MAX_BYTES} bytes, found more", path)
            size = 0  # the metadata's is that of dictionaries, of which a million rows can share one long text
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                size += batch.nbytes
                if size > MAX_BYTES:
                    raise DocumentError(f"expected at most {MAX_BYTES} bytes, found more", path, number + 1)
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except DocumentError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError, OverflowError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DocumentError(f"expected a Parquet file: {reason}; download it again", path, number + 1) from None


def parquet_library(path: Path | str) -> tuple[Any, Any]:
    """pyarrow and its Parquet part."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        problem = "reading Parquet needs pyarrow: pip install 'minillama[parquet]', or give JSON lines instead"
        raise DocumentError(problem, path) from None
    return pyarrow, parquet
