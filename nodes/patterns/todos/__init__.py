"""Reads clauses as requests about to-dos.

Others use `fuzzy.is_worth_a_fuzzy_reading`, `items.wording`, `openings.Opening`,
`openings.find_opening` and `reader.TodoReader`.
"""
