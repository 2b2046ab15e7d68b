"""Results of runs: their form, their folder, the lock on it."""
