"""What every request passes: headers, limits, keys, turns, and who may talk to one on loopback.

Others use `access`, `connections`, `guards` and `places`.
"""
