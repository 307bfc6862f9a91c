"""What is made of runs that ended: statistics, tables, curves, and files of numbers."""

import lazy_loader

# For `jmlp.weights`, which needs JAX as all else here does not.
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["weights"])
