"""`python -m jmlp.worker.devices`: starts JAX and says which devices it finds.

The request has "device" and "cores", the answers are {"say": text} and {"devices": a list of their
names}. XLA may end the process over a variable that it does not accept: hence a process of its own.
"""

import sys
from collections.abc import Mapping
from typing import Any

from jmlp.system import environment, helper_server
from jmlp.system.files import compile_cache_dir
from jmlp.system.helper_server import Tell


def look(request: Mapping[str, Any], tell: Tell) -> None:
    """Starts JAX, and answers.

    Raises:
        ConfigError: a variable that JAX reads has a value that it does not accept.
        DeviceError: there is no such device.
        StoreError: there is no folder for compiled programs.
    """
    if warning := environment.prepare(request["device"], request["cores"], compile_cache_dir()):
        tell({"say": f"warning: {warning}"})
    from jmlp.training.engine import find_devices

    found = find_devices(request["device"])
    tell({"devices": [environment.device_name(device) for device in found]})


if __name__ == "__main__":
    sys.exit(helper_server.main(look))
