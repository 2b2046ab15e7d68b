"""Fixtures that several test files share."""

pytest_plugins = ["small_experiment"]
