"""Passes of a batch through a text tower, from token ids to pooled vectors; `choice` has the table of all passes."""
