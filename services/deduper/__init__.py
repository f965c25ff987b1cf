"""The deduper: repeated paragraphs."""
