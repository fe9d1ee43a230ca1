"""What watching, waiting, waves of posts and crashes cost."""
