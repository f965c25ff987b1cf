"""`python -m services.gateway` runs one process of it."""

from services.gateway.app import main

main()
