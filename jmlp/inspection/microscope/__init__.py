"""Microscopes: one part of training at a stored network, measured where it acts.

`dropout` shows what a key drops, `batch_norm` which statistics normalise, and `step` how good the
next update is; `sizes` compares the last one over a study's batch sizes. `views` has their records
and `texts` their lines, both without JAX.
"""
