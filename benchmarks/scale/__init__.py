"""What a fleet costs and how far it goes: servers and workers over one Postgres."""
