"""Reads clauses as arithmetic.

Others use `reader.looks_like_arithmetic` and `reader.read_expression`.
"""
