"""Orders about runs, one file each: what is asked is checked, stored, and then the runner is told.

`approval` has every decision of a person: about plans, and about steps in doubt. `deletion` is also
the retention, which removes what has been kept long enough.

Others use `approval`, `call`, `cancel.AlreadySettled`, `cancel.Canceller`,
`deletion`, `fork`, `preview.PlanPreview`, `preview.PlanPreviews`, `replay`, `retry` and
`threads.Threads`.
"""
