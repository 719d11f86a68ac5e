"""Settings from files, environment and command line; the only package that reads the environment."""

from vmpilot.config.approvals import ApprovalsFile
from vmpilot.config.cache_place import CachePlace, read_cache_place
from vmpilot.config.environment import Environment, current_environment, take_environment, use_litellm
from vmpilot.config.settings import Settings, Sourced, address_of
from vmpilot.config.sources import find_project_file, kept_rules, load_settings, project_root
from vmpilot.config.user_file import PRIVATE_KEYS, UserFile

__all__ = [
    "PRIVATE_KEYS",
    "ApprovalsFile",
    "CachePlace",
    "Environment",
    "Settings",
    "Sourced",
    "UserFile",
    "address_of",
    "current_environment",
    "find_project_file",
    "kept_rules",
    "load_settings",
    "project_root",
    "read_cache_place",
    "take_environment",
    "use_litellm",
]
