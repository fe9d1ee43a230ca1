"""The deterministic planner: the language of arithmetic and to-dos as tables and small readers.

`planner.py` is the way in. To teach it another way of saying something, add a line to one of the
vocabularies (`politeness.py`, `list_names.py`, `todo_frames.py`, `arithmetic_words.py`,
`connectors.py`); a tool brings its own sentences with `@tool(phrases=[...])`.
"""
