"""The `newsflow` command: one file a verb."""
