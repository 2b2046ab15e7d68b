"""Towers: text and image encoders that embed into one space."""
