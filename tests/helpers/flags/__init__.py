"""The flags of every command, as tables: see `table`."""
