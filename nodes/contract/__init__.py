"""What every plan and every step is held to, by whichever planner it was made.

Others use `json_data`, `plan_check` and `steps`.
"""
