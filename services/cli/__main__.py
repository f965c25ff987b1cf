"""`python -m services.cli` is the `newsflow` command."""

from services.cli.app import main

main()
