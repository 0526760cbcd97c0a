"""The documentation: pages from text files and from the code itself, read once.

A page is `content/NN-slug.md`, an example a file of every language in `examples/`. What the code knows is not written
again: tables of outcomes, errors, headers, plans and limits, and every operation, are made from it (`library`).
"""
