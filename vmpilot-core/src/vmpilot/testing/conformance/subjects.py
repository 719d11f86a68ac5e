"""Loads the backend under test from a name, or from an object with hooks."""

from __future__ import annotations

from vmpilot.contract import BackendError
from vmpilot.plugins import InstalledBackend, choose_backend, installed_backends, load_backend, wrap_backend
from vmpilot.testing.conformance.harness import Subject
from vmpilot.testing.playing import ScriptedModel, ServedModel


def find_backend(name: str) -> InstalledBackend:
    """The installed backend of this name. Raises `BackendError` unless there is exactly one."""
    return choose_backend(installed_backends(), name, asked_by="backends check").backend


def load_subject(installed: InstalledBackend, scripted_model: ScriptedModel = ServedModel) -> Subject:
    """An installed backend, imported. Raises `BackendError` if it cannot be used."""
    return Subject(load_backend(installed), scripted_model, installed.entry_point.module)


def make_subject(backend: object, scripted_model: ScriptedModel = ServedModel) -> Subject:
    """A backend, given as an entry point's name, or as a module or object whose functions are marked with `hookimpl`.

    Raises `BackendError` if it cannot be used.
    """
    if isinstance(backend, str):
        return load_subject(find_backend(backend), scripted_model)
    if backend is None:
        raise BackendError("No backend given: set `backend` to its name, or to an object with its hooks")
    return Subject(wrap_backend(backend), scripted_model)
