"""The command line: `generate`, `chat`, `tokenize`, `info`, `models`, `pull`, `convert`, `doctor`, `bench` and more.

Text goes to stdout and everything else to stderr, so that a pipe carries only the answer.
Heavy imports happen inside the commands: `minillama --help` is quick. Reading the options is a fifth of a second of
importing, too, so a plain `minillama generate` goes past it (quick.py).
"""

from __future__ import annotations

import sys

from .common.output import fail, note_warnings, write
from .common.streams import OutputError, end_stderr, prepare_streams
from .quick import plain_request


def main() -> None:
    """Entry point: run a command, with errors as one sentence and an exit code."""
    note_warnings()
    try:
        prepare_streams()
        code = _run()
        write("")  # what a library has left for the end of the process
    except OutputError as error:
        code = fail(str(error))
    end_stderr()
    sys.exit(code)


def _run() -> int:
    from ..checkpoints.hub.downloads import DownloadError

    try:
        return _run_command()
    except OutputError:
        raise
    except KeyboardInterrupt:
        return 130
    except (ValueError, DownloadError, OSError, MemoryError) as error:
        return fail(_sentence(error))
    except Exception as error:
        if not hasattr(error, "format_message"):  # a wrong option: typer's own
            raise
        said = error.format_message() or "a command is missing, one of those above"
        return fail(said + " (see --help)", getattr(error, "exit_code", 2))


def _run_command() -> int:
    request = plain_request(sys.argv[1:])
    if request is None:
        from .commands import run

        return run()
    from .continuation import continue_text

    continue_text(request)
    return 0


def _sentence(error: Exception) -> str:
    """What an error says; one of the operating system without its number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error) or type(error).__name__


if __name__ == "__main__":
    main()
