"""Which accepted run is executed next, and how many at once."""
