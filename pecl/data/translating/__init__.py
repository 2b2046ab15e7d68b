"""Machine translation of captions."""
