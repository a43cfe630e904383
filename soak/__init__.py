"""Drills of minutes, run before a release by `make soak`."""
