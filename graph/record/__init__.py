"""What a run's state tells: record, events, explanation. Pure functions, no input or output."""
