"""`python -m atlascore`: the command line."""

from atlascore.cli import main

main()
