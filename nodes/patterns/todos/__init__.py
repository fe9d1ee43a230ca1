"""Reads clauses as requests about to-dos."""
