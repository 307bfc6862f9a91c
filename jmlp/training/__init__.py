"""Training, from a plan to results.

Read in this order: `single_run` (one run: a step, an evaluation, early stopping), `blocks` (its
examples), `strategies` (many runs on one device), `program` (the compiled functions),
`group_training` (cohorts in their slots), `engine` (the chunk loop).
"""
