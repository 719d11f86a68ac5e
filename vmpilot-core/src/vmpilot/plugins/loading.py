"""Import one backend, register it with pluggy, and check that it keeps the contract."""

from __future__ import annotations

import pluggy

from vmpilot.contract import CONTRACT_VERSION, PROJECT, BackendError, BackendInfo, hooks
from vmpilot.plugins.backend import Backend
from vmpilot.plugins.installed import InstalledBackend


def load_backend(installed: InstalledBackend) -> Backend:
    """The backend, imported and checked.

    Raises `BackendError` naming the distribution, what is wrong with it, and the command that mends it.
    """
    plugin = _import_plugin(installed)
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hooks)
    try:
        manager.register(plugin, installed.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise _broken(installed, f"does not fit the hooks ({error})") from error
    if not manager.hook.generate_responses.get_hookimpls():
        raise _broken(installed, "has no generate_responses marked with vmpilot.contract.hookimpl")
    backend = Backend(installed, manager.hook)
    version = _described(backend, installed).contract_version
    if version != CONTRACT_VERSION:
        raise _broken(installed, f"was made for contract version {version}, this core has {CONTRACT_VERSION}")
    return backend


def _import_plugin(installed: InstalledBackend) -> object:
    try:
        plugin: object = installed.entry_point.load()
    except (Exception, SystemExit) as error:  # a foreign module may raise anything while it is imported
        target = installed.entry_point.value
        raise _broken(installed, f"cannot be imported ({target}: {type(error).__name__}: {error})") from error
    return plugin


def _described(backend: Backend, installed: InstalledBackend) -> BackendInfo:
    try:
        info: object = backend.info
    except Exception as error:  # as above
        raise _broken(installed, f"cannot describe itself ({type(error).__name__}: {error})") from error
    if not isinstance(info, BackendInfo):
        raise _broken(installed, f"describes itself by a {type(info).__name__}, not a BackendInfo")
    return info


def _broken(installed: InstalledBackend, what: str) -> BackendError:
    return BackendError(
        f'the backend "{installed.name}" of {installed.distribution} {installed.version} {what}: '
        f"run `pip install --upgrade {installed.distribution}`, or choose another with --backend"
    )
