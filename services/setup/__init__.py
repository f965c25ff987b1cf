"""Set-up: topics, index templates and the alias."""
