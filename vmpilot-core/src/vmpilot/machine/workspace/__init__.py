"""The working folder: what a path means there, and how to open exactly that file. It knows no permissions."""

from vmpilot.machine.workspace.descriptors import LinkInTheWay, NotRegular, open_below, open_regular, opened_folder
from vmpilot.machine.workspace.names import describe_look_alike, find_look_alikes, show_name
from vmpilot.machine.workspace.repositories import endangered_repository, is_bare_repository, surrounding_repository
from vmpilot.machine.workspace.working_folder import Workspace

__all__ = [
    "LinkInTheWay",
    "NotRegular",
    "Workspace",
    "describe_look_alike",
    "endangered_repository",
    "find_look_alikes",
    "is_bare_repository",
    "open_below",
    "open_regular",
    "opened_folder",
    "show_name",
    "surrounding_repository",
]
