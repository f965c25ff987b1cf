"""`python -m services.linker` runs one process of it."""

from services.linker.app import main

main()
