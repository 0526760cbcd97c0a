"""The pages, one router per group. Each reads, decides by what other modules know, and renders."""
