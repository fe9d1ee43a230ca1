"""Tasks that others wrote, done by the whole server with a scripted model; see `__main__`."""
