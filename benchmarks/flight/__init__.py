"""What thousands of runs cost that wait for a model."""
