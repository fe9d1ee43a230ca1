"""A run that goes on: accepted, driven, resumed, watched, read."""
