"""Searching runs on SQLite: what is asked as SQL, the way through the runs, and the connection.

Others use `lookup.look_up` and `searcher.Searcher`.
"""
