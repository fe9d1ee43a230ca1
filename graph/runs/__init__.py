"""Runs in execution: accepted, driven, resumed, watched, read."""
