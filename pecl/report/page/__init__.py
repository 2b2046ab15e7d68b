"""The results as one HTML page that needs nothing else: tables, plots, commands, versions, and retrieved items."""

from pecl.report.page.build import build_page, write_page
