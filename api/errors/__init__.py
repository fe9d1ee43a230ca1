"""Every error that leaves the server: one table, and how a problem is answered."""
