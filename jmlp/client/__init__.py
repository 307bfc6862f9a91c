"""What the command and the app do alike: submitting, steering and deleting, and words for it all.

Imports no JAX, and prints nothing: what there is to say goes to the caller's `say`.
"""
