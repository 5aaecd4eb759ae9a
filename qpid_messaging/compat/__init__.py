"""The import names of the original client, for code that nobody will edit: `import qpid.messaging` gives this client.

>>> from qpid_messaging import compat
>>> compat.install()
>>> from qpid.messaging import Connection, Message

The packages lie in the folder `packages`, which `install` puts on `sys.path`. Each module re-exports what
`qpid_messaging` has, or adds what only old programs need.
"""

from __future__ import annotations

import sys
from pathlib import Path

from .binding import add_names

__all__ = ["PACKAGES", "install"]

#: The folder that holds the packages of the old names.
PACKAGES = Path(__file__).parent / "packages"


def install() -> None:
    """Make the old names importable in this process, and give `qpid_messaging` those of the C++ client's binding.

    They go before packages of the same name that are installed. Calling it again changes nothing.

    Raises:
        RuntimeError: such a package has been imported already; it would be half of the one and half of the other.
    """
    for name in sorted(folder.name for folder in PACKAGES.iterdir() if folder.joinpath("__init__.py").exists()):
        file = getattr(sys.modules.get(name), "__file__", None)
        if name in sys.modules and (file is None or PACKAGES not in Path(file).parents):
            raise RuntimeError(f"{name} is imported already, from {file}: call qpid_messaging.compat.install() before")
    folder = str(PACKAGES)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    add_names()
