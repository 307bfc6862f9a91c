"""What the command line and the app share: submitting, steering, deleting, and texts about them.

Imports no JAX and prints nothing: messages go to the caller's `say`.
"""
