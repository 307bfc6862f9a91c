"""Where the cohorts of a group stand: which slot of which device, and in which order they have it.

Slots are counted through the devices: those of the first device come first. How many lanes a
cohort in training still has says how much work it is.
"""

from collections import deque
from collections.abc import Iterator, Mapping

UNEVEN = 0.1  # of a device's work, which must be saved before cohorts are moved


def places(n_devices: int, per_device: int) -> list[int]:
    """All slots, the first of every device before the second of any."""
    return [
        device * per_device + place for place in range(per_device) for device in range(n_devices)
    ]


def turns(lanes: Mapping[int, int], per_device: int, most: int) -> Iterator[list[int]]:
    """The slots in the order of one call after the other.

    Args:
        lanes: of each slot that should have its turn.
        per_device: slots of a device.
        most: lanes that a device gets in a turn, as far as it is several slots.
    """
    queues: dict[int, deque[int]] = {}
    for slot in sorted(lanes):
        queues.setdefault(slot // per_device, deque()).append(slot)
    while any(queues.values()):
        turn = []
        for queue in queues.values():
            room = most
            while queue and (room == most or lanes[queue[0]] <= room):
                room -= lanes[queue[0]]
                turn.append(queue.popleft())
        yield turn


def balanced(lanes: Mapping[int, int], n_devices: int, per_device: int) -> list[int] | None:
    """How to move cohorts so that all devices have about as much to do.

    The cohort with most lanes goes first, each to the device with the fewest so far (Graham,
    "Bounds on multiprocessing timing anomalies", 1969: within a third of the best).

    Args:
        lanes: in training, of each slot that holds a cohort.
        n_devices: that train, the first ones.
        per_device: slots of a device.

    Returns:
        For each slot of these devices the one whose content it should take; None where moving
        would save less than `UNEVEN` of the time.
    """
    now, then = [0] * n_devices, [0] * n_devices
    content: list[list[int]] = [[] for _ in range(n_devices)]
    for slot in sorted(lanes, key=lambda slot: -lanes[slot]):
        now[slot // per_device] += lanes[slot]
        open_ones = [d for d in range(n_devices) if len(content[d]) < per_device]
        device = min(open_ones, key=lambda d: then[d])
        then[device] += lanes[slot]
        content[device].append(slot)
    if max(then) >= (1 - UNEVEN) * max(now):
        return None
    empty = deque(slot for slot in range(n_devices * per_device) if slot not in lanes)
    return [
        content[device][place] if place < len(content[device]) else empty.popleft()
        for device in range(n_devices)
        for place in range(per_device)
    ]
