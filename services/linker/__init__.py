"""The linker: syndicated copies, found across the stream and linked."""
