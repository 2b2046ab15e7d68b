"""Towers from their checkpoints."""
