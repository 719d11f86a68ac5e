"""Settings from files, environment variables and options; the only package that reads the environment."""

from vmpilot.config._approvals import ApprovalsFile
from vmpilot.config._cache_place import CachePlace, read_cache_place
from vmpilot.config._environment import VARIABLES, Environment, current_environment, take_environment, use_litellm
from vmpilot.config._mcp_servers import McpServer, McpSettings, read_mcp_settings
from vmpilot.config._settings import PROJECT_KEYS, TRUSTED_PROJECT_KEYS, LoadedSettings, Settings, address_of
from vmpilot.config._sources import find_project_file, load_settings, project_root, saved_rules
from vmpilot.config._user_file import PRIVATE_KEYS, UserFile

__all__ = [
    "PRIVATE_KEYS",
    "PROJECT_KEYS",
    "TRUSTED_PROJECT_KEYS",
    "VARIABLES",
    "ApprovalsFile",
    "CachePlace",
    "Environment",
    "LoadedSettings",
    "McpServer",
    "McpSettings",
    "Settings",
    "UserFile",
    "address_of",
    "current_environment",
    "find_project_file",
    "load_settings",
    "project_root",
    "read_cache_place",
    "read_mcp_settings",
    "saved_rules",
    "take_environment",
    "use_litellm",
]
