"""What operators see of all runs: together, as Prometheus reads it, and one by one as traces.

Others use `metrics`, `observer`, `lag.measuring`, `scrape.Scrape`,
`traces` and `webhooks`.
"""
