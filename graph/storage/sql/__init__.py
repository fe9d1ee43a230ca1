"""What both databases have in common: the statements over the tables, and what runs are to them.

The tables are the same, column by column. Statements are written as SQLite reads them, in what
Postgres reads too; `statements` names the few differences. `checkpoints` writes every checkpoint,
with the row of its run in `index`; `deletion` removes what is kept of runs.

Others use `admission.BYTES`, `audit`, `checkpoints`, `deletion`, `filters`, `index`, `outbox`,
`spending`, `statements` and `threads`.
"""
