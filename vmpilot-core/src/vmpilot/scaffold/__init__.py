"""Creates a new backend: a working package, written from the files in `template`."""

from vmpilot.scaffold.names import PackageNames, choose_names
from vmpilot.scaffold.writing import write_package

__all__ = ["PackageNames", "choose_names", "write_package"]
