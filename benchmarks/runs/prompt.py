"""The task that is measured: two steps, one of them with an effect."""

PROMPT = "Add a todo to buy milk, then show me all my tasks"
