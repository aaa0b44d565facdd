"""`python -m hftune` is the command line."""

from hftune.cli import main

main()
