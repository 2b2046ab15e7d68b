"""Results of runs: their form (`result`, `parts`), and the folder with them and the files next to them."""
