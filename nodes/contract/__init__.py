"""What every plan, step and answer is held to, by whichever planner or model it was made.

Others use `checks` and `steps`.
"""
