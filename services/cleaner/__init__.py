"""The cleaner: text, boilerplate, language."""
