"""What is asked for: hyperparameters, their rules, study files. Imports no JAX."""
