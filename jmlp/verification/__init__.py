"""Retrains stored runs and compares the results."""
