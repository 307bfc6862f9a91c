"""Study definitions: hyperparameters, their rules, study files. Imports no JAX."""
