"""Download of data sets, with checks."""
