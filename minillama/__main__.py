"""`python -m minillama`: the command line."""

from .cli.app import main

main()
