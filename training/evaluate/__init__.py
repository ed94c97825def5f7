"""What a network can do: its figures, whether it has solved its task, and pictures."""
