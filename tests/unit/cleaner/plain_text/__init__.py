"""News articles written for this set, and what transport and publishers do to them; the labels are in README.md."""
