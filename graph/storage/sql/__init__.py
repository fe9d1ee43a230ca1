"""What both databases have in common: the statements over the tables, and what runs are to them.

The tables are the same, column by column. Statements are written as SQLite reads them, in what
Postgres reads too; `statements` names the few differences. `checkpoints` writes every checkpoint,
with the row of its run in `index`; `bookkeeping` is what is kept of runs, and removes it; `owners`
has threads and spending.

Others use `bookkeeping`, `checkpoints`, `index`, `owners` and `statements`.
"""
