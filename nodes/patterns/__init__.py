"""The deterministic planner: the language of arithmetic and to-dos as tables and small readers.

`planner.py` is the way in. To teach it another way of saying something, add a line to a table:
`politeness.py`, `connectors.py`, `arithmetic_words.py`, `list_names.py`, `list_words.py`,
`todo_words.py` or `todo_frames.py`; `lines.py` explains the notation. A tool brings its own
sentences with `@tool(phrases=["sleep {seconds} seconds"])` and needs no change here.
"""
