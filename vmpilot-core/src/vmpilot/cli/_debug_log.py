"""The log that `-d` prints to standard error, with secrets masked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vmpilot.cli._style import printable
from vmpilot.config import current_environment
from vmpilot.machine.secrets.masking import Masker
from vmpilot.machine.secrets.shell_environment import secret_values

_log = logging.getLogger("vmpilot")


class DebugLog(logging.Handler):
    """Writes records to standard error. `mask` removes secrets; an agent's masker knows more of them."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(name)s: %(message)s", "%H:%M:%S"))
        self.mask: Callable[[str], str] = Masker(secret_values(current_environment().variables)).mask
        self._to_error = logging.StreamHandler()

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record with all lines after the first indented, as in a traceback."""
        text = printable(self.mask(self.format(record))).replace("\n", "\n    ")
        self._to_error.emit(logging.makeLogRecord({"msg": text, "levelno": record.levelno}))


@contextmanager
def logging_to_standard_error() -> Iterator[None]:
    """Enable VMPilot's loggers only: debug logs of libraries may contain requests, API keys included."""
    handler, level = DebugLog(), _log.level
    _log.addHandler(handler)
    _log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        _log.removeHandler(handler)
        _log.setLevel(level)


def mask_with(mask: Callable[[str], str]) -> None:
    """Use this masker for the debug log, if there is one."""
    for handler in _log.handlers:
        if isinstance(handler, DebugLog):
            handler.mask = mask
