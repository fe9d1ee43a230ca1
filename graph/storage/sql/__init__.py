"""What both databases have in common: the statements over the tables, and what runs are to them.

The tables are the same, column by column. Statements are written as SQLite reads them, in what
Postgres reads too; `statements` names the few differences. `checkpoints` writes every checkpoint,
with the row of its run in `index`; `space` is what
is kept of runs, and removes it; `changes` has the audit and the outbox.

Others use `changes`, `checkpoints`, `index`, `space`, `spending`, `statements` and `threads`.
"""
