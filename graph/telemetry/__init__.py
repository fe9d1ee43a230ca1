"""What operators see of all runs: together, as Prometheus reads it, and one by one as traces.

`server` shows how one server does, and writes the lines of its log.

Others use `metrics`, `server`, `traces` and `webhooks`.
"""
