"""The options that choose the training device, and the start of JAX with them."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from jmlp.errors import ConfigError
from jmlp.system import environment
from jmlp.system.environment import MAX_CORES
from jmlp.system.files import compile_cache_dir

if TYPE_CHECKING:
    import jax

MIN_SECONDS, MAX_SECONDS = 0.1, 3600


@Parameter(name="*")
@dataclass(frozen=True)
class Hardware:
    """The options that choose the device and the number of cores."""

    device: Annotated[
        Literal["auto", "cpu", "gpu"],
        Parameter(help="The training device; auto takes a GPU if JAX finds one."),
    ] = "auto"
    cores: Annotated[
        int | None,
        Parameter(help="CPU cores to use; by default all that this process may use, at most 8."),
    ] = None

    def count(self) -> int:
        """The number of CPU cores to use.

        Raises:
            ConfigError: fewer than 1, or more than 256.
        """
        if self.cores is None:
            return environment.default_cores()
        if not 1 <= self.cores <= MAX_CORES:
            raise ConfigError(f"--cores: must be 1 to {MAX_CORES}, got {self.cores}")
        return self.cores

    def start(self, say: Callable[[str], None]) -> "list[jax.Device]":
        """Starts JAX and finds the devices.

        Args:
            say: called with each warning.

        Raises:
            ConfigError: the number of cores is not allowed, or JAX does not accept the value of a
                variable.
            DeviceError: there is no such device.
        """
        cores = self.count()  # a wrong number is reported before JAX starts
        if os.environ.get("XLA_FLAGS"):  # a flag that XLA does not know ends the process
            from jmlp.client import devices as jax_devices

            jax_devices.ask(self.device, self.cores, lambda warning: None)
        environment.report_warnings(say)
        if warning := environment.prepare(self.device, self.cores, compile_cache_dir()):
            say(f"warning: {warning}")
        from jmlp.training.engine import find_devices

        devices = find_devices(self.device)
        return devices[:cores] if devices[0].platform == "cpu" else devices


@Parameter(name="*")
@dataclass(frozen=True)
class TrainingHardware(Hardware):
    """The options that choose the device, and the interval between checkpoints."""

    checkpoint_seconds: Annotated[
        float, Parameter(help="Seconds between checkpoints, from which a killed training resumes.")
    ] = environment.CHECKPOINT_SECONDS

    def request(self) -> dict[str, object]:
        """The options as the worker receives them, in the submission.

        Raises:
            ConfigError: a number that is not allowed.
        """
        self.count()
        if not MIN_SECONDS <= self.checkpoint_seconds <= MAX_SECONDS:
            raise ConfigError(
                f"--checkpoint-seconds: must be {MIN_SECONDS} to {MAX_SECONDS}, "
                f"got {self.checkpoint_seconds:g}"
            )
        return {
            "device": self.device,
            "cores": self.cores,
            "checkpoint_seconds": self.checkpoint_seconds,
        }
