"""Language models: the client of every provider, what its failures mean, what calls cost.

Others use `client`, `daily_budget`, `ladder` and `recorded`.
"""
