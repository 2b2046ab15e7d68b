"""Fixtures that several test files share."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["helpers.registries", "helpers.small_experiment", "helpers.translation_models"]

# How long an example takes says nothing on a machine that does other things as well.
settings.register_profile("pecl", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pecl")
