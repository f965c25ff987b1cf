"""`python -m services.indexer` runs one process of it."""

from services.indexer.app import main

main()
