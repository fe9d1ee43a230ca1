"""What operators see of all runs: together, as Prometheus reads it, and one by one as traces.

Others use `logs`, `metrics`, `observer`, `traces` and `webhooks`.
"""
