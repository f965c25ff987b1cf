"""The compose file itself, run on a Docker engine; `make test-compose`."""
