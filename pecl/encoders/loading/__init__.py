"""Towers from their checkpoints.

Whatever is missing, cut short, damaged or made for something else raises a `WeightsError`, one sentence that names it.
"""
