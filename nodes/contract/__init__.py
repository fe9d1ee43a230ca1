"""What every plan and every step is held to, by whichever planner it was made.

Others use `json_data` and `steps`.
"""
