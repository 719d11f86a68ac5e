"""llama.cpp's OpenAI-compatible server as a child process on loopback: how it starts and stops."""

import asyncio
import json
import os
import secrets
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from vmpilot.installation import install_command
from vmpilot.local_model._gguf import check_gguf
from vmpilot.local_model._values import LOADING, LocalModelError, Progress

_CHILD = "vmpilot.local_model._server_program"
_TAIL_BYTES = 8192
_TAIL_LINES = 5
_STOP_SECONDS = 5.0
_KEPT_VARIABLES = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"),
    *("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "OMP_NUM_THREADS"),
)

CONTEXT_SIZE = 16_384
"""The context window in tokens."""


def check_engine() -> None:
    """Raise `LocalModelError` if llama.cpp is not installed; call it before downloading gigabytes."""
    if find_spec("xllamacpp") is None:
        raise LocalModelError(f"The local model needs llama.cpp. Run `{install_command('vmpilot-core[local]')}`.")


class LocalServer:
    """A running server of one model: started by `start`, ended by `stop` or with this process."""

    def __init__(self, child: Process, model: str, api_key: str) -> None:
        self._child = child
        self._tail = bytearray()
        self._drain = asyncio.create_task(self._keep_tail())
        self.model = model
        self.api_key = api_key
        self.base_url = ""

    def __repr__(self) -> str:
        return f"LocalServer(model={self.model!r}, base_url={self.base_url!r})"

    @classmethod
    async def start(
        cls,
        weights: Path,
        *,
        progress: Callable[[Progress], None],
        context_size: int = CONTEXT_SIZE,
        threads: int | None = None,
        environment: Mapping[str, str] | None = None,
        load_timeout: float = 300.0,
    ) -> Self:
        """Load `weights` and listen on a free port of loopback.

        `context_size` is in tokens, `load_timeout` in seconds. The child gets only the variables of
        `environment` that locate libraries and processors. Raises `LocalModelError`; canceling ends the child.
        """
        await asyncio.to_thread(check_gguf, weights)
        progress(Progress(LOADING))
        settings = {
            "weights": str(weights),
            "model": weights.stem,
            "context_size": context_size,
            "threads": threads,
            "api_key": secrets.token_urlsafe(32),
        }
        server = cls(await _spawn(environment or {}), weights.stem, str(settings["api_key"]))
        try:
            async with asyncio.timeout(load_timeout):
                server.base_url = await server._hand_over(settings) + "/v1"
        except TimeoutError:
            raise LocalModelError(f"The local model {weights} did not load within {load_timeout:g} s.") from None
        finally:
            if not server.base_url:
                await server._end()
        return server

    @property
    def running(self) -> bool:
        """Whether the child is still alive."""
        return self._child.returncode is None

    async def stop(self) -> None:
        """End the child and wait for it; a second call does nothing."""
        assert self._child.stdin is not None  # noqa: S101  made with a pipe
        self._child.stdin.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._child.wait()
        except TimeoutError:
            pass
        finally:
            await self._end()

    async def _hand_over(self, settings: Mapping[str, object]) -> str:
        """Send the child its settings, through a pipe because any user can read a command line; return its address."""
        assert self._child.stdin is not None  # noqa: S101
        assert self._child.stdout is not None  # noqa: S101
        self._child.stdin.write(json.dumps(settings).encode() + b"\n")
        line = await self._child.stdout.readline()
        if not line:
            await self._child.wait()
            await self._drain
            raise LocalModelError(
                f"The local model's server stopped while loading {settings['weights']}: {self._last_lines()}"
            )
        reply: dict[str, str] = json.loads(line)
        if "error" in reply:
            raise LocalModelError(reply["error"])
        return reply["address"]

    async def _end(self) -> None:
        if self._child.returncode is None:
            os.killpg(self._child.pid, signal.SIGKILL)
        await self._child.wait()
        await self._drain

    async def _keep_tail(self) -> None:
        """Read the child's standard error, so that it never blocks; keep the end."""
        assert self._child.stderr is not None  # noqa: S101
        while chunk := await self._child.stderr.read(65536):
            self._tail += chunk
            del self._tail[:-_TAIL_BYTES]

    def _last_lines(self) -> str:
        lines = [line.strip() for line in self._tail.decode("utf-8", "replace").splitlines() if line.strip()]
        said = " | ".join(lines[-_TAIL_LINES:]) or "no output"
        return f"exit status {self._child.returncode}: {said}"


async def _spawn(environment: Mapping[str, str]) -> Process:
    kept = {name: value for name, value in environment.items() if name in _KEPT_VARIABLES}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", _CHILD,
        stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True,
        # OpenMP's threads spin while waiting, which makes generation several times slower on shared processors.
        env={**kept, "OMP_WAIT_POLICY": "passive"},
    )  # fmt: skip
