"""Training stored runs again, and how the numbers compare."""
