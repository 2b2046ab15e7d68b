"""Results of runs: their form (`result`, `parts`), files beside them, their folder, the lock on it."""
