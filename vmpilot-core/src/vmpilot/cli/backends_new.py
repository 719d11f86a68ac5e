"""`vmpilot backends new`: a backend of one's own begins as a package that works as it is."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from vmpilot.cli._style import printable
from vmpilot.plugins import SHIPPED, installed_backends
from vmpilot.scaffold import PackageNames, choose_names, write_package


def write_backend(options: argparse.Namespace) -> int:
    """Write the package; say what was written, and which commands come next."""
    names = choose_names(options.name, taken={*SHIPPED, *(backend.name for backend in installed_backends())})
    folder = Path(options.cwd, options.dir or names.distribution)
    written = write_package(names, folder)
    if options.output == "json":
        print(json.dumps({"name": names.backend, "folder": str(folder.resolve()), "files": [*map(str, written)]}))
    else:
        print(printable(_describe(names, folder, written)))
    return 0


def _describe(names: PackageNames, folder: Path, written: Sequence[Path]) -> str:
    place = shlex.quote(str(folder) if folder.is_absolute() else f"./{folder}")
    return "\n".join(
        [
            f"{folder}/",
            *(f"  {path}" for path in written),
            "It works as it is. Next:",
            f"  pip install -e {place}",
            f"  vmpilot backends check {names.backend}",
            f'  vmpilot --backend {names.backend} "how much memory is free?"',
        ]
    )
