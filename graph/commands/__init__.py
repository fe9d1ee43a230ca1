"""Orders about runs: each is checked, stored, and then told to the runner."""
