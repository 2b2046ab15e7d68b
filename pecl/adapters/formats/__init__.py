"""Adapter files, and those of other packages."""
