"""Data of the user's own: folders, tables, sequences in memory."""
