"""Trackers: where the curves of a training are reported to. `tracker` has the protocol; each package has a file."""
