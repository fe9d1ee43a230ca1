"""Where runs are kept: one contract, and a folder or file for each backend."""
