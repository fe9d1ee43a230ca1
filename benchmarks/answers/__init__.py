"""What an answer in words costs beside its model, and how truthful a small model's answers are."""
