"""What people say, as tables: one line stands for many phrases.

Others use `arithmetic_words`, `list_names`, `list_words`, `small_talk`, `todo_templates` and
`todo_words`.
"""
