"""What the API shows of a run: the record, its events and its explanation as JSON."""
