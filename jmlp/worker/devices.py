"""`python -m jmlp.worker.devices`: starts JAX and reports which devices it finds.

The request has "device" and "cores", the answers are {"say": text} and {"devices": a list of their
names}. It is a process of its own because XLA may end it if it does not accept a variable.
"""

import sys
from collections.abc import Mapping
from typing import Any

from jmlp.system import environment, helper_server
from jmlp.system.files import compile_cache_dir
from jmlp.system.helper_server import Send


def report_devices(request: Mapping[str, Any], send: Send) -> None:
    """Starts JAX and sends the names of the devices that it finds.

    Raises:
        ConfigError: a variable that JAX reads has a value that it does not accept.
        DeviceError: there is no such device.
        StoreError: there is no folder for compiled programs.
    """
    if warning := environment.prepare(request["device"], request["cores"], compile_cache_dir()):
        send({"say": f"warning: {warning}"})
    from jmlp.training.engine import find_devices

    found = find_devices(request["device"])
    send({"devices": [environment.device_name(device) for device in found]})


if __name__ == "__main__":
    sys.exit(helper_server.main(report_devices))
