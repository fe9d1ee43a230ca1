"""The `runwright` command and what it shows in a terminal."""
