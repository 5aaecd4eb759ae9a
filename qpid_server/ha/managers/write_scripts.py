"""What other resource managers need of us as files: init scripts, a resource agent, and examples of configuration."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

__all__ = ["SCRIPTS", "write_scripts"]

SCRIPTS = {
    "qpidd": "/etc/init.d/qpidd",
    "qpidd-primary": "/etc/init.d/qpidd-primary",
    "cluster.conf": "/etc/cluster/cluster.conf, an example for rgmanager",
    "ocf/qpidd": "/usr/lib/ocf/resource.d/qpid/qpidd",
    "pacemaker.xml": "an example for Pacemaker, read with cibadmin",
}
"""Where each file belongs."""


def write_scripts(folder: Path) -> dict[Path, str]:
    """Write the files below a folder, which is made where it is not there.

    Returns:
        The files, and where each belongs.

    Raises:
        OSError: they cannot be written.
    """
    source = resources.files("qpid_server") / "ha" / "managers" / "scripts"
    written = {}
    for name, place in SCRIPTS.items():
        data = source.joinpath(name).read_bytes()
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if data.startswith(b"#!"):
            os.chmod(path, 0o755)
        written[path] = place
    return written
