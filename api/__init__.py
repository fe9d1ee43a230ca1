"""HTTP and the command line: validation, error mapping, streaming; no decisions about runs."""
