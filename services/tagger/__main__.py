"""`python -m services.tagger` runs one process of it."""

from services.tagger.app import main

main()
