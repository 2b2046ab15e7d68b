"""Results of runs: their fields and JSON (`result`, `parts`), and the folder that holds them (`folder`)."""
