"""What every plan and every step is held to, whoever made it."""
