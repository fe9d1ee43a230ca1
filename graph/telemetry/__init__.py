"""What operators see of all runs together, as Prometheus reads it.

Others use `metrics`, `observer.RunObserver`, `lag.measuring` and `scrape.Scrape`.
"""
