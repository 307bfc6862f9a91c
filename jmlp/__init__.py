"""A multilayer perceptron from scratch in JAX, and the instrument to experiment with it.

The public names are listed in `__init__.pyi`, and nowhere else. They are loaded when first used, so
that `import jmlp` alone starts no JAX.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
