"""What every plan and every step is held to, by whichever planner it was made."""
