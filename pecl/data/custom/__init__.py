"""The user's own data: tables, folders, sequences in memory."""
