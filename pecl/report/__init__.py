"""Reports on results: tables, plots, a page."""
