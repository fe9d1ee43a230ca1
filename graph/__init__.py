"""The machine: what travels, where it goes, how a run is kept."""
