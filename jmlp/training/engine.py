"""The chunk loop: trains a plan and yields records of progress.

Training stops when the consumer stops iterating. Each `next` waits for at most one chunk (50 to 200
ms of work); one chunk runs while at most one more is queued, so the device never waits for Python
and a stop never waits for a queue. Between two records all cohorts can be copied, and a later
training resumes from the copies bitwise identically.
"""

import contextlib
import ctypes
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from numpy.typing import NDArray

from jmlp.data.contract import contract_of
from jmlp.data.dataset import Dataset
from jmlp.errors import DeviceError
from jmlp.system import diagnosis, environment, numerics
from jmlp.training import plan as planning
from jmlp.training import program
from jmlp.training.blocks import Data
from jmlp.training.eta import Tracker
from jmlp.training.group_training import GroupTraining, LoadSaved, Rows, Scaled
from jmlp.training.plan import Plan, Scaling
from jmlp.training.records import CohortState, Progress

# Programs of each compiled function that are kept for later trainings when jmlp is used as a
# library: 5 to 10 MB each.
KEPT_PROGRAMS = 4
# Groups after which a process that only trains clears all of JAX's caches. Otherwise JAX keeps its
# traces of every program: 0.5 to 1.5 MB per group.
GROUPS_BETWEEN_CLEARING = 3


def find_devices(kind: str) -> list[jax.Device]:
    """The devices of a kind: `auto` (JAX's default), `cpu` or `gpu`.

    Raises:
        DeviceError: there is none; never falls back to another kind.
    """
    try:
        return jax.devices() if kind == "auto" else jax.devices(kind)
    except (AssertionError, RuntimeError) as error:  # JAX_PLATFORMS=cuda fails an assertion
        reason = str(error).partition("\n")[0] or "it has none for this platform"
        raise diagnosis.no_device(kind, reason) from error


def take_devices(kind: str, cores: int | None) -> list[jax.Device]:
    """The devices to train on; on a CPU `cores` of them, by default all this process may use.

    Raises:
        DeviceError: there is none of this kind.
    """
    devices = find_devices(kind)
    if devices[0].platform == "cpu":
        return devices[: cores or environment.default_cores()]
    return devices


def run(
    plan: Plan,
    dataset: Dataset,
    devices: Sequence[jax.Device] | None = None,
    split: tuple[Rows, Rows] | None = None,
) -> Iterator[Progress]:
    """Trains every run of a plan; shorthand for iterating over a `Training`."""
    return iter(Training(plan, dataset, devices, split))


class Training:
    """The training of a plan.

    Iterating over it trains, and yields progress at least once per chunk; the last record has the
    phase "finished". It can be iterated only once.
    """

    def __init__(
        self,
        plan: Plan,
        dataset: Dataset,
        devices: Sequence[jax.Device] | None = None,
        split: tuple[Rows, Rows] | None = None,
        saved: LoadSaved = lambda cohort, width: None,
        *,
        alone: bool = False,
    ) -> None:
        """Prepare the training; nothing is trained yet.

        Args:
            plan: the plan from `plan.make_plan` for this data set.
            dataset: the data to train on.
            devices: devices over which cohorts are distributed; default: JAX's default devices.
            split: rows of the training and the validation part; default: by the runs' split seeds.
            saved: returns the copy from which a cohort resumes, or None to start it from scratch.
            alone: whether nothing else in this process uses JAX, so its caches may be cleared.
        """
        self.alone = alone
        self.plan, self.dataset = plan, dataset
        self.devices = find_devices("auto") if devices is None else devices
        self.split, self.saved = split, saved
        self._group: GroupTraining | None = None

    def copies(self) -> list[CohortState]:
        """Copies of all cohorts in training, on the host, after the chunks already started.

        To be called between two records; waits for the running chunk.
        """
        with numerics.pinned():
            return [] if self._group is None else self._group.copies()

    def __iter__(self) -> Iterator[Progress]:
        """Trains under jmlp's settings of JAX; between two records the caller's are in force.

        Raises:
            CheckpointError: a copy returned by `saved` does not belong to its cohort.
            ConfigError: the plan does not fit into memory (before anything is allocated), or a
                setting of JAX forbids training.
            DeviceError: a device ran out of memory.
        """
        mesh = Mesh(np.array(with_idle_device(self.devices)), ("slots",))
        tracker = Tracker(self.plan)
        return numerics.pinned_steps(tracker.timed(self._train(mesh, tracker)), mesh)

    def _train(self, mesh: Mesh, tracker: Tracker) -> Generator[Progress]:
        plan, devices = self.plan, self.devices
        if devices[0].platform == "cpu":
            planning.check_memory(plan, len(devices))
        try:
            data, scaled = _put_data(plan, self.dataset, self.split, mesh)
            for number, group in enumerate(plan.groups, start=1):
                tracker.begin(number)
                self._group = None  # frees the previous group's arrays
                yield tracker.progress("compiling")
                if self.alone:
                    _free_memory(caches=(number - 1) % GROUPS_BETWEEN_CLEARING == 0)
                self._group = GroupTraining(
                    plan,
                    group,
                    self.dataset,
                    data,
                    mesh,
                    n_busy=len(devices),
                    tracker=tracker,
                    rows=self.split,
                    scaled=scaled,
                    load_saved=self.saved,
                    max_programs=1 if self.alone else KEPT_PROGRAMS,
                )
                yield from self._group.run()
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise DeviceError(
                f"{devices[0]}: out of memory ({str(error).splitlines()[0]}); use smaller layers "
                "or batches, or free the device"
            ) from error
        yield tracker.progress("finished")


def _free_memory(*, caches: bool) -> None:
    """Frees memory that earlier groups left behind in a process that only trains.

    The C library keeps memory freed by compiles, too fragmented for the next compile; where it
    supports `malloc_trim` (glibc), that returns it to the system.

    Args:
        caches: whether to clear JAX's caches too.
    """
    if caches:
        jax.clear_caches()  # type: ignore[no-untyped-call]  # JAX does not annotate it
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def with_idle_device(devices: Sequence[jax.Device]) -> Sequence[jax.Device]:
    """Adds an idle CPU device to a single one, if there is another.

    XLA compiles a program differently for one device than for several (observed: other last digits
    with Adam, batch norm and dropout together), and bits must not depend on the number of cores.
    """
    if len(devices) > 1 or devices[0].platform != "cpu":
        return devices
    idle = [device for device in jax.devices("cpu") if device != devices[0]]
    return [devices[0], *idle[:1]]


def _put_data(
    plan: Plan, dataset: Dataset, rows: tuple[Rows, Rows] | None, mesh: Mesh
) -> tuple[Data, Mapping[Scaling, Scaled]]:
    """Copies the training set, followed by the test set, to every device.

    A table is standardised by the training part of its split, so it is there once for each split,
    and once more if there are runs for which it is not.

    Args:
        plan: the plan that will be trained.
        dataset: the data.
        rows: rows of the training and the validation part, in place of a split.
        mesh: the devices.

    Returns:
        The data, and for each scaling of a table where its examples are.
    """
    scaled: dict[Scaling, Scaled] = {}
    parts: list[Dataset] = []
    if dataset.columns is None:
        parts.append(dataset)
    else:
        contract, first = contract_of(dataset), 0
        for scaling in planning.scalings(plan):
            training, _ = rows or dataset.split(scaling.split_seed, plan.study.validation_fraction)
            scale = dataset.scale(training, raw=scaling.raw)
            assert scale is not None
            parts.append(dataset.scaled(scale))
            scaled[scaling] = Scaled(first, replace(contract, scale=scale))
            first += plan.facts.n_examples + plan.facts.n_test
    xs: list[NDArray[Any]] = []
    ys: list[NDArray[Any]] = []
    for part in parts:
        xs.append(part.x_train)
        ys.append(part.y_train)
        if part.x_test is not None and part.y_test is not None:
            xs.append(part.x_test)
            ys.append(part.y_test)
    x, y = (many[0] if len(many) == 1 else np.concatenate(many) for many in (xs, ys))
    weights = None
    if dataset.weights is not None:  # those of the test set count alike
        of_part = np.ones(plan.facts.n_examples + plan.facts.n_test, np.float32)
        of_part[: len(dataset.weights)] = dataset.weights
        weights = np.tile(of_part, len(parts))
    everywhere = NamedSharding(mesh, program.EVERYWHERE)
    return Data(*jax.device_put((x, y, weights), everywhere)), scaled
