"""What it costs to replay a recorded run."""
