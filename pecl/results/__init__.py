"""Results of runs: their form (`result`, `parts`), files next to them, their folder, the lock on it."""
