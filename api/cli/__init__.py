"""The `runwright` command: its arguments, what it does, and what a terminal shows of it.

Others use `command.run_command`.
"""
