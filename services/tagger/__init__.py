"""The tagger: people, organisations, places."""
