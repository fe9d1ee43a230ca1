"""Orders about runs, one file each: what is asked is checked, stored, and then the runner is told.

`deletion` is also the retention, which removes what has been kept long enough.

Others use `approval`, `call.ToolCaller`, `cancel.AlreadySettled`, `cancel.Canceller`,
`deletion`, `fork`, `preview.PlanPreview`, `preview.PlanPreviews`, `replay`, `resolve`, `retry` and
`threads.Threads`.
"""
