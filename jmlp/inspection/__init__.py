"""Inspects the networks of a stored run: gradients, activations, dead units, predictions."""
