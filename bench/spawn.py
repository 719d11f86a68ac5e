"""Start a program and measure it from outside: `python -I -S spawn.py FD PROGRAM …`; the report goes to FD.

It is a separate process with few imports, because the peak memory of a child, as wait4(2) reports it, starts with the
memory of its parent. It writes two lines: pid and start; then end, CPU seconds, peak memory, exit code.
"""

import os
import sys
import time


def main() -> None:
    """Start, wait, report. Times are `time.monotonic()` seconds, memory is bytes."""
    report = int(sys.argv[1])
    os.set_inheritable(report, False)
    command = sys.argv[2:]
    started = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ)
    os.write(report, b"%d %.6f\n" % (pid, started))
    _, status, usage = os.wait4(pid, 0)
    ended = time.monotonic()
    cpu = usage.ru_utime + usage.ru_stime
    code = os.waitstatus_to_exitcode(status)
    os.write(report, b"%.6f %.6f %d %d\n" % (ended, cpu, usage.ru_maxrss * 1024, code))


if __name__ == "__main__":
    main()
