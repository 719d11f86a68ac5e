"""Runs the commands of one conversation: environment, sandbox, masking, supervisor and background jobs."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, TypeAlias

from vmpilot.contract import Confinement, ToolError
from vmpilot.machine.processes.output import OutputLimits
from vmpilot.machine.processes.process import CommandOutcome, Confine, run_command
from vmpilot.machine.processes.shell_launch import ShellLaunch
from vmpilot.machine.processes.supervisor import Supervisor
from vmpilot.machine.secrets.masking import Masker
from vmpilot.tools._job import Job
from vmpilot.tools.jobs import Jobs
from vmpilot.tools.kept_jobs import KeptJobs

ConfineCommand: TypeAlias = Callable[[ShellLaunch, ExitStack, Literal["read", "workspace"], Path], ShellLaunch]
"""Puts a planned launch into a sandbox of that level; the command starts in the folder."""


class CommandRunner:
    """Runs commands and background jobs. It costs nothing before the first one; `close` ends all of them.

    `environment` is the commands' whole one, scrubbed. `masker` masks secrets in the output; with `outputs`, a folder
    for this conversation alone, long output is kept there in full. A runner that is not `lasting` need not be closed
    if it starts no jobs, but each command takes 30 ms longer. `kept` stores the jobs that outlive VMPilot; without it
    none can be started.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        masker: Masker | None = None,
        outputs: Path | None = None,
        confine: ConfineCommand | None = None,
        lasting: bool = True,
        kept: KeptJobs | None = None,
        conversation: str = "",
    ) -> None:
        self._environment = environment
        self._masker = masker or Masker(())
        self._outputs = outputs
        self._confine = confine
        self._lasting = lasting
        self._supervisor = Supervisor()
        self.jobs = Jobs(self._supervisor, masker=self._masker, outputs=outputs, kept=kept, conversation=conversation)

    def warm_up(self) -> None:
        """Start the supervisor now, which saves the first command 30 ms. Raises OSError."""
        self._supervisor.warm_up()

    async def run(
        self,
        command: str,
        *,
        folder: Path,
        timeout: float,
        confinement: Confinement = "host",
        on_output: Callable[[str], None] = lambda _: None,
    ) -> CommandOutcome:
        """See `run_command`. Raises `ToolError` if it must be confined and no sandbox works."""
        return await run_command(
            command,
            folder=folder,
            environment=self._environment,
            timeout=timeout,
            limits=OutputLimits(),
            on_output=on_output,
            confine=self._confined(confinement, folder),
            masker=self._masker,
            outputs=self._outputs,
            supervisor=self._supervisor if self._lasting else None,
        )

    def start_job(
        self,
        command: str,
        *,
        folder: Path,
        timeout: float | None = None,
        confinement: Confinement = "host",
        keep: bool = False,
    ) -> Job:
        """See `Jobs.start`. Raises `ToolError` if it must be confined and no sandbox works."""
        return self.jobs.start(
            command,
            folder=folder,
            environment=self._environment,
            confine=self._confined(confinement, folder),
            timeout=timeout,
            keep=keep,
        )

    async def close(self) -> None:
        """End the jobs, except kept ones, and everything else that still runs."""
        try:
            await self.jobs.close()
        finally:
            self._supervisor.close()

    def _confined(self, level: Confinement, folder: Path) -> Confine | None:
        """Nothing runs unconfined by mistake."""
        confine = self._confine
        if level == "host":
            return None
        if confine is None:
            raise ToolError("Not run: it may only run in a sandbox, and none works on this machine.")
        return lambda launch, resources: confine(launch, resources, level, folder)
