"""Faults that the suite must find, one by one: `python tests/mutants/run.py`."""
