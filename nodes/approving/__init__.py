"""A plan that a person is asked about before it is executed."""
