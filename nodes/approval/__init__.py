"""A plan that a person is asked about before it is executed, and one that was edited by hand."""
