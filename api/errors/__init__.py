"""Every error that leaves the server: the one table of problems, and how one is answered.

Others use `kinds` and `problems`.
"""
