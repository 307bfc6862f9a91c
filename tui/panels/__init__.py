"""The panels of the run screen, one per tab."""
