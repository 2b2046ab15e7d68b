"""Installation of pecl: `pip install -e .` gives the package and the command `pecl`. All settings: pyproject.toml."""

from setuptools import setup

setup()
