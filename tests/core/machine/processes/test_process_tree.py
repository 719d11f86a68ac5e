"""The processes below another: none is missed, whatever happens to those between."""

import subprocess
import sys

_PARENT_TAKES_LONG_TO_END = """
import ctypes, os, signal, time
from vmpilot.machine.processes.process_tree import Descendants

ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
told, telling = os.pipe()
parent = os.fork()
if parent == 0:
    child = os.fork()
    if child == 0:
        os.close(telling)
        time.sleep(1000)
    memory = bytearray(os.urandom(1)) * 400_000_000
    os.write(telling, b"%d" % child)
    time.sleep(1000)
child = int(os.read(told, 20))
os.kill(parent, signal.SIGKILL)
tree = Descendants(os.getpid())
overlooked = looks = 0
while os.waitpid(parent, os.WNOHANG) == (0, 0):
    looks += 1
    overlooked += child not in [member.pid for member in tree.find()]
os.kill(child, signal.SIGKILL)
print(looks > 0, overlooked)
"""
"""The kernel frees a process's memory before it moves its children to the subreaper."""


def test_a_process_whose_parent_is_just_ending_is_found() -> None:
    told = subprocess.run(
        (sys.executable, "-c", _PARENT_TAKES_LONG_TO_END), check=False, capture_output=True, text=True, timeout=30
    )
    assert (told.stdout, told.stderr) == ("True 0\n", "")
