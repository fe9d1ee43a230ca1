"""Orders about runs, one file each: what is asked is checked, stored, and then the runner is told.

Others use `approval`, `cancel.AlreadySettled`, `cancel.Canceller`, `deletion.Deletion`,
`deletion.NotSettled`, `fork`, `preview.PlanPreview`, `preview.PlanPreviews`, `retention.Retention`,
`retention.sweeping` and `retry`.
"""
