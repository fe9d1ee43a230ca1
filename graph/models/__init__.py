"""Language models: the client of every provider, what their failures mean, and what they cost."""
