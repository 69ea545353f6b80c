"""The command line of lm-evaluation-harness with minillama among its models."""

import sys

from . import register


def main() -> None:
    """Register the model, then hand over to the harness."""
    try:
        register()
    except ImportError as error:
        sys.exit(str(error))
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


if __name__ == "__main__":
    main()
