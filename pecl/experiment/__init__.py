"""One experiment: from a config to a result."""
