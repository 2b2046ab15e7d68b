"""OpenDelta's own classes, as an engine."""
