"""Published data sets.

Each reader raises DataError for a file that is missing, damaged or of another length than its
parallel files, for captions that the set does not have, and for needed machine translations that are missing.
"""
