"""Imports a plugin, registers it with pluggy, and checks that it fulfills the contract."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pluggy

from vmpilot.contract import CONTRACT_VERSION, ENTRY_POINT_GROUP, PROJECT, BackendError, BackendInfo, hooks, tool_hooks
from vmpilot.installation import upgrade_command
from vmpilot.plugins._backend import Backend
from vmpilot.plugins._installed import InstalledBackend, InstalledPlugin


class PluginError(Exception):
    """A plugin cannot be used; the message continues a sentence that starts with its name."""


def load_backend(installed: InstalledBackend) -> Backend:
    """The backend, imported and checked.

    Raises `BackendError` with the distribution, the problem, and the command that fixes it.
    """
    try:
        backend = Backend(installed, load_hooks(installed, needed="generate_responses"))
        version = _described(backend).contract_version
        if version != CONTRACT_VERSION:
            raise PluginError(f"uses contract version {version}, but this core has version {CONTRACT_VERSION}")
    except PluginError as fault:
        raise BackendError(
            f'Backend "{installed.name}" of {installed.distribution} {installed.version} {fault}. '
            f"Run `{upgrade_command(installed.distribution)}`, or choose another backend with --backend."
        ) from fault
    return backend


def load_hooks(installed: InstalledPlugin, *, needed: str) -> pluggy.HookRelay:
    """The hooks of this plugin alone. Raises `PluginError`, including if it lacks the hook `needed`."""
    return _register(_import_plugin(installed), installed.name, needed=needed)


def wrap_backend(plugin: object) -> Backend:
    """A backend that is not installed: a module or an object whose functions are marked with `hookimpl`.

    Raises `BackendError` if it does not fulfill the contract.
    """
    name = str(getattr(plugin, "__name__", type(plugin).__name__))
    try:
        hook = _register(plugin, name, needed="generate_responses")
        backend = Backend(InstalledBackend(name, name, "0", EntryPoint(name, name, ENTRY_POINT_GROUP)), hook)
        info = _described(backend)
    except PluginError as fault:
        raise BackendError(f"Backend {name} {fault}.") from fault
    return Backend(InstalledBackend(info.name, name, info.version, EntryPoint(name, name, ENTRY_POINT_GROUP)), hook)


def _register(plugin: object, name: str, *, needed: str) -> pluggy.HookRelay:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hooks)
    manager.add_hookspecs(tool_hooks)
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"does not match the hooks ({error})") from error
    if not getattr(manager.hook, needed).get_hookimpls():
        raise PluginError(f"has no {needed} marked with vmpilot.contract.hookimpl")
    return manager.hook


def _import_plugin(installed: InstalledPlugin) -> object:
    try:
        plugin: object = installed.entry_point.load()
    except (Exception, SystemExit) as error:  # third-party code may raise anything
        target = installed.entry_point.value
        raise PluginError(f"cannot be imported ({target}: {type(error).__name__}: {error})") from error
    return plugin


def _described(backend: Backend) -> BackendInfo:
    try:
        info: object = backend.info
    except Exception as error:  # third-party code may raise anything
        raise PluginError(f"cannot describe itself ({type(error).__name__}: {error})") from error
    if not isinstance(info, BackendInfo):
        raise PluginError(f"returns a {type(info).__name__} from describe_backend, not a BackendInfo")
    return info
