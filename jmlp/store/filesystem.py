"""Detects folders on network file systems, where locks and flushes cannot be trusted."""

import re
from pathlib import Path

MOUNTS = Path("/proc/mounts")

_NETWORK = (
    *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "glusterfs", "gpfs", "lustre"),
    *("ncpfs", "nfs", "nfs4", "orangefs", "panfs", "prl_fs", "smb3", "smbfs", "vboxsf", "virtiofs"),
    *("fuse.ceph", "fuse.davfs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone"),
    *("fuse.s3fs", "fuse.sshfs", "fuse.vmhgfs-fuse"),
)


def network_file_system(folder: Path, mounts: Path = MOUNTS) -> str | None:
    """The type of the network file system that holds a folder, such as "nfs4".

    Args:
        folder: a path, which need not exist.
        mounts: the mount table, as Linux writes it.

    Returns:
        None if it is a local file system, or the system has no such table.
    """
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    place = folder.resolve()
    kind, deepest = "", Path("/")
    for line in lines:
        _, mounted, found, *_ = line.split(" ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), mounted))
        # Of several mounts on the same folder, the last one is visible.
        if place.is_relative_to(point) and len(point.parts) >= len(deepest.parts):
            kind, deepest = found, point
    return kind if kind in _NETWORK else None
