"""Import one plugin, register it with pluggy, and check that it keeps the contract."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pluggy

from vmpilot.contract import CONTRACT_VERSION, ENTRY_POINT_GROUP, PROJECT, BackendError, BackendInfo, hooks, tool_hooks
from vmpilot.installation import upgrade_command
from vmpilot.plugins.backend import Backend
from vmpilot.plugins.installed import InstalledBackend, InstalledPlugin


class PluginError(Exception):
    """A plugin cannot be used; the message says what is wrong with it, as the end of a sentence about it."""


def load_backend(installed: InstalledBackend) -> Backend:
    """The backend, imported and checked.

    Raises `BackendError` naming the distribution, what is wrong with it, and the command that mends it.
    """
    try:
        backend = Backend(installed, load_hooks(installed, needed="generate_responses"))
        version = _described(backend).contract_version
        if version != CONTRACT_VERSION:
            raise PluginError(f"was made for contract version {version}, this core has {CONTRACT_VERSION}")
    except PluginError as fault:
        raise BackendError(
            f'the backend "{installed.name}" of {installed.distribution} {installed.version} {fault}: '
            f"run `{upgrade_command(installed.distribution)}`, or choose another with --backend"
        ) from fault
    return backend


def load_hooks(installed: InstalledPlugin, *, needed: str) -> pluggy.HookRelay:
    """The hooks of this plugin alone. Raises `PluginError`, also where it has no hook called `needed`."""
    return _register(_import_plugin(installed), installed.name, needed=needed)


def wrap_backend(plugin: object) -> Backend:
    """A backend that was not installed: a module or an object whose functions are marked with `hookimpl`.

    Raises `BackendError` where it does not keep the contract.
    """
    name = str(getattr(plugin, "__name__", type(plugin).__name__))
    try:
        hook = _register(plugin, name, needed="generate_responses")
        backend = Backend(InstalledBackend(name, name, "0", EntryPoint(name, name, ENTRY_POINT_GROUP)), hook)
        info = _described(backend)
    except PluginError as fault:
        raise BackendError(f"the backend {name} {fault}") from fault
    return Backend(InstalledBackend(info.name, name, info.version, EntryPoint(name, name, ENTRY_POINT_GROUP)), hook)


def _register(plugin: object, name: str, *, needed: str) -> pluggy.HookRelay:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hooks)
    manager.add_hookspecs(tool_hooks)
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"does not fit the hooks ({error})") from error
    if not getattr(manager.hook, needed).get_hookimpls():
        raise PluginError(f"has no {needed} marked with vmpilot.contract.hookimpl")
    return manager.hook


def _import_plugin(installed: InstalledPlugin) -> object:
    try:
        plugin: object = installed.entry_point.load()
    except (Exception, SystemExit) as error:  # a foreign module may raise anything while it is imported
        target = installed.entry_point.value
        raise PluginError(f"cannot be imported ({target}: {type(error).__name__}: {error})") from error
    return plugin


def _described(backend: Backend) -> BackendInfo:
    try:
        info: object = backend.info
    except Exception as error:  # as above
        raise PluginError(f"cannot describe itself ({type(error).__name__}: {error})") from error
    if not isinstance(info, BackendInfo):
        raise PluginError(f"describes itself by a {type(info).__name__}, not a BackendInfo")
    return info
