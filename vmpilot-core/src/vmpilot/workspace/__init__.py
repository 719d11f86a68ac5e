"""The working folder: what a path means there, and how to open exactly that. Knows nothing of permissions."""

from vmpilot.workspace.descriptors import LinkInTheWay, NotRegular, open_below, open_regular, opened_folder
from vmpilot.workspace.names import show_name
from vmpilot.workspace.working_folder import Workspace

__all__ = ["LinkInTheWay", "NotRegular", "Workspace", "open_below", "open_regular", "opened_folder", "show_name"]
