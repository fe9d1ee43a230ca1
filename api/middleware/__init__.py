"""What every request passes: headers, limits, keys, and who may talk to a server on loopback.

Others use `access`, `connections`, `guards`, `metrics`, `places` and `turns`.
"""
