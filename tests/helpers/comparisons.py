"""Recomputing the tables of a comparison of trainings."""

import numpy as np


def cells_of(line):
    """Return the fields of a line of a Markdown table."""
    return [field.strip() for field in line.strip("|").split("|")]


def multiple(p_values):
    """Return p-values after Holm's correction, from its definition."""
    order = np.argsort(p_values)
    corrected = np.maximum.accumulate(np.sort(p_values) * np.arange(len(p_values), 0, -1))
    result = np.empty(len(p_values))
    result[order] = np.minimum(corrected, 1)
    return result
