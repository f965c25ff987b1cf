"""`python -m services.deduper` runs one process of it."""

from services.deduper.app import main

main()
