"""Language models: the client of every provider, what its failures mean, what calls cost.

Others use `calls`, `client` and `ladder`.
"""
