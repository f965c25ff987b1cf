"""`python -m services.cleaner` runs one process of it."""

from services.cleaner.app import main

main()
