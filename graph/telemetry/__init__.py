"""What operators see of all runs: together, as Prometheus reads it, and one by one as traces.

`health` looks at the storage, the models, and the servers of tools.

Others use `health`, `logs`, `metrics`, `traces` and `webhooks`.
"""
