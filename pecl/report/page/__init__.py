"""The results as one HTML page that needs nothing else: tables, plots, commands, versions, and what was retrieved."""

from pecl.report.page.build import build_page, write_page
