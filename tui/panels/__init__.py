"""The panels of the run screen: each shows one side of a run."""
