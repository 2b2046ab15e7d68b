"""Tables from results: recall before and after training, with the gallery, and intervals over the test items.

Everything comes from the JSON files of `results`; logs are not parsed. The candidate that represents a
language and route is chosen by its validation score, never by its test. Results that were measured differently are
never in one table.
"""

from pecl.report.tables.build import TABLES, Report, report
from pecl.report.tables.candidates import Candidate, best_of_methods, best_runs, candidates_by_method, chosen_candidates
from pecl.report.tables.formats import FORMATS
from pecl.report.tables.groups import Group, by_group, group_of
from pecl.report.tables.layout import plain_table, reported
from pecl.report.tables.runs import evaluation_table, training_table
from pecl.report.tables.statistics import BEST, hits
from pecl.report.tables.table import Column, Table
