"""The documentation: pages from text files and from the code itself, read once at start."""
