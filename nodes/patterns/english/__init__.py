"""What people say, as tables: one line stands for many phrases.

Others use `accounted`, `arithmetic_words`, `connectors`, `list_names`, `list_words`, `politeness`,
`small_talk`, `todo_openings`, `todo_templates` and `todo_words`.
"""
