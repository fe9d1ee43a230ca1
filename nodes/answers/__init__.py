"""How a model answers in words, and in a shape, once a run was worked on.

Others use `writer`.
"""
