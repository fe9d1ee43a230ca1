"""The deterministic planner: the language of arithmetic and to-dos as tables and small readers.

`planner.py` is the way in. To teach it another way of saying something, add a line to a table
(`lines.py` explains the notation):

- around any request: `politeness.py`; between two: `connectors.py`; beside one, asking for
  nothing more: `asides.py` and the echoes in `arithmetic_words.py`
- arithmetic: operations in `arithmetic_words.py`, words that mean nothing around them in
  `arithmetic_talk.py`
- to-dos: names of the list in `list_names.py`, sentences in `todo_frames.py`, their verbs in
  `todo_words.py`; asking for the list in `list_words.py`, for an item on it in
  `question_frames.py`; items that are none of ours in `unfit_items.py`
- slips of the keyboard: `spelling.py`
- what no sentence fits, read by the classes of its words alone: `loose_words.py` for verbs and
  questions, `small_talk.py` for the words that may stand around a request

A tool brings its own sentences with `@tool(phrases=["sleep {seconds} seconds"])` and needs no
change here.
"""
