"""Data sets: every reader returns `ParallelCaptions`."""
