"""What people say, as tables: one line stands for many phrases.

Others use `accounted`, `arithmetic_words`, `connectors`, `conversation_words`, `list_names`,
`list_words`, `politeness`, `rejected_items`, `small_talk`, `todo_openings`,
`todo_templates` and `todo_words`.
"""
