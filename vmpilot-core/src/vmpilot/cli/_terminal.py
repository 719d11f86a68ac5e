"""The user's terminal, for questions and answers; standard input and output may be pipes."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
from typing import Any


class Terminal:
    """Asks the user questions."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def open(cls) -> Terminal | None:
        """The controlling terminal; None if it does not exist or standard error is redirected."""
        if not sys.stderr.isatty():
            return None
        try:
            return cls(os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC))
        except OSError:
            return None

    async def ask(self, question: str, *, withdrawn: asyncio.Future[Any]) -> str:
        """The user's answer, stripped; empty at the end of input. Anything typed before the question is discarded.

        When `withdrawn` is done the question is withdrawn, and the answer is empty.
        """
        termios.tcflush(self._descriptor, termios.TCIFLUSH)
        os.write(self._descriptor, question.encode())
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._descriptor, lambda: None if answered.done() else answered.set_result(None))
        try:
            await asyncio.wait([answered, withdrawn], return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(self._descriptor)
        if not answered.done():
            os.write(self._descriptor, b"\n")
            return ""
        return os.read(self._descriptor, 4096).decode("utf-8", "replace").strip()
