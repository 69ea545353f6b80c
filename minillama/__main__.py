"""`python -m minillama`: the command line."""

from .cli import main

main()
