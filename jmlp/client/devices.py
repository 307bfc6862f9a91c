"""Finds JAX's devices in a separate process, which a wrong environment variable may end."""

import threading
from collections.abc import Callable
from typing import Any

from jmlp.errors import DeviceError
from jmlp.system import helper_client
from jmlp.system.environment import Device

SECONDS = 60  # within which JAX has to start; a broken driver may block it forever


def ask(device: Device, cores: int | None, say: Callable[[str], object]) -> list[str]:
    """The names of the devices that JAX finds in this environment; takes a second.

    Args:
        device: `auto`, `cpu` or `gpu`.
        cores: number of virtual CPU devices; None means the default.
        say: called with each warning.

    Raises:
        ConfigError: a variable that JAX reads has a value that it does not accept.
        DeviceError: there is no such device, or JAX does not start.
    """
    late = threading.Event()
    timer = threading.Timer(SECONDS, late.set)
    timer.daemon = True
    timer.start()
    found: list[str] | None = None
    request: dict[str, Any] = {"device": device, "cores": cores}
    try:
        for message in helper_client.ask("jmlp.worker.devices", request, "JAX's process", late):
            if "say" in message:
                say(message["say"])
            else:
                found = message["devices"]
    finally:
        timer.cancel()
    if found is None:
        raise DeviceError(f"JAX does not start: no answer within {SECONDS} seconds")
    return found
