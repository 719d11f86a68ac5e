"""The model of these tests. Its answers depend only on the request, so any number of runs can use it at once.

The model's name is `KIND.ID`; the kind determines the commands of its turns. A turn that is resumed after a crash
gets short ones.
"""

from __future__ import annotations

from collections.abc import Mapping

from vmpilot.testing import Reply, ScriptedCall
from vmpilot.testing.recording import RecordedRequest

GO_ON = "go on after the crash"

SHORT = "short"
COMMANDS: Mapping[str, str] = {
    SHORT: "{mark}; mkdir -p below; cd below",
    "failing": "{mark}; exit 3",
    "printing": "{mark}; seq 60000",
    "working": "for i in 1 2 3 4 5 6 7 8; do sleep 0.03; done; {mark}",
    "sleeping": "{mark}; sleep 300",
    "scattering": (
        "{mark}; setsid sleep 300 >/dev/null 2>&1 & env -i setsid sleep 300 & (set -m; sleep 300 & sleep 300 &) &"
        " trap '' TERM; sleep 300; sleep 300"
    ),
    "talking": "{mark}",
}
"""The commands of each kind; `echo` leaves the mark of a command in a file."""


def answer(request: RecordedRequest) -> Reply:
    """Two commands at once, then one, then the answer; only one command after a crash."""
    messages = request.messages
    asked = max(at for at, message in enumerate(messages) if message["role"] == "user")
    text = str(messages[asked]["content"])
    kind = SHORT if text == GO_ON else str(request.body["model"]).partition(".")[0]
    letters = {0: "a"} if text == GO_ON else {0: "ab", 2: "c"}
    done = sum(message["role"] == "tool" for message in messages[asked:])
    slow = 0.02 if kind == "talking" else 0.0
    marks = [f"{text.replace(' ', '-')}.{len(messages)}{letter}" for letter in letters.get(done, "")]
    calls = tuple(_call(kind, mark) for mark in marks)
    return Reply("It is done now." if not calls else "I look at it.", tool_calls=calls, delay=slow, gap=slow)


def _call(kind: str, mark: str) -> ScriptedCall:
    command = COMMANDS[kind].format(mark=f'echo {mark} >> "$EFFECTS"')
    return ScriptedCall("shell", {"command": command})
