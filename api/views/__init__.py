"""What the API shows of a run: the record, its events and its explanation as JSON.

Others use `answers`, `events`, `explanation.ExplanationAnswer`, `explanation.present_explanation`,
`record` and `times`.
"""
