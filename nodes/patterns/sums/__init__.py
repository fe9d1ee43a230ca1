"""Reads clauses as arithmetic.

Others use `reader.continues`, `reader.is_only_mark`, `reader.looks_like_arithmetic` and
`reader.read_expression`.
"""
