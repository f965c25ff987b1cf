"""`python -m services.setup` runs one process of it."""

from services.setup.app import main

main()
