"""Towers from their checkpoints.

A file that is missing, cut short, damaged or made for something else raises a `WeightsError`, a
sentence that names it.
"""
