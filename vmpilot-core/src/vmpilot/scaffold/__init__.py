"""The beginning of a backend of one's own: a package that works as it is, written from the files in `template`."""

from vmpilot.scaffold.names import PackageNames, choose_names
from vmpilot.scaffold.writing import write_package

__all__ = ["PackageNames", "choose_names", "write_package"]
