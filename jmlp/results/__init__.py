"""Results of ended runs: statistics, tables, curves, and data files."""

import lazy_loader

# For `jmlp.weights`, the only module here that needs JAX.
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["weights"])
