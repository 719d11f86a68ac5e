"""Replays a recording for `vmpilot replay` and prints where the backend differs from it."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import json
import sys
from pathlib import Path

import msgspec

from vmpilot.cli._style import printable
from vmpilot.cli._table import count
from vmpilot.engine.recording import RecordedTurn, Recording, read_recording
from vmpilot.lab.replay import Replay, replay_turn
from vmpilot.plugins import Backend, choose_backend, installed_backends, load_backend


def run_replay(arguments: argparse.Namespace) -> int:
    """Replay each turn; exit code 1 if one differs. Raises the contract's errors."""
    path = Path(arguments.file)
    recording = read_recording(path)
    if not recording.whole:
        print(f"vmpilot: {path} ends in the middle of a line; replaying what comes before it.", file=sys.stderr)
    return asyncio.run(_replay(recording, arguments))


async def _replay(recording: Recording, arguments: argparse.Namespace) -> int:
    backends: dict[str, Backend] = {}
    replays: list[Replay] = []
    for number, turn in enumerate(recording.turns, 1):
        name = arguments.backend or turn.asked.backend
        if name not in backends:
            asked_by = "--backend" if arguments.backend else "the recording"
            backends[name] = load_backend(choose_backend(installed_backends(), name, asked_by=asked_by).backend)
        replay = await replay_turn(turn, backends[name])
        replays.append(replay)
        if arguments.output == "text":
            _print(number, turn, name, replay)
    if arguments.output == "json":
        print(json.dumps([msgspec.to_builtins(replay) for replay in replays]))
    return int(any(replay.differences for replay in replays))


def _print(number: int, turn: RecordedTurn, backend: str, replay: Replay) -> None:
    way = backend if backend == turn.asked.backend else f"{turn.asked.backend} → {backend}"
    verdict = count(differences, "difference") if (differences := len(replay.differences)) else "same"
    requests, calls = count(replay.requests, "request"), count(replay.calls, "tool call")
    print(f"turn {number} ({way}): {requests}, {calls}, {replay.reason}: {verdict}")
    for difference in replay.differences:
        print(printable(f"\n{difference.what}"))
        before, after = difference.recorded.splitlines(), difference.now.splitlines()
        for line in difflib.unified_diff(before, after, "recorded", "now", lineterm=""):
            print(printable(f"  {line}"))
