#!/usr/bin/env bash
# Drive one request through the Open WebUI pipeline with the LiteLLM backend and check that its command had an effect.
# Without VMPILOT_LITELLM_MODEL the model is a scripted server on loopback; with it (and its key), that real model.
set -euo pipefail

python=${PYTHON:-python3}
folder=$(mktemp -d)
server_pid=
cleanup() {
    [ -z "$server_pid" ] || kill "$server_pid" 2>/dev/null || true
    rm -rf "$folder"
}
trap cleanup EXIT

export VMPILOT_USE_LITELLM=true VMPILOT_DATA_DIR="$folder/data" VMPILOT_MODE=full
if [ -z "${VMPILOT_LITELLM_MODEL:-}" ]; then
    cat >"$folder/script.json" <<'JSON'
[
  {"type": "reply", "tool_calls": [{"name": "shell", "arguments": {"command": "printf works > effect.txt"}}]},
  {"type": "reply", "text": "The file effect.txt is there."}
]
JSON
    "$python" -m vmpilot.testing.server --script "$folder/script.json" >"$folder/server.log" &
    server_pid=$!
    until [ -s "$folder/server.log" ]; do
        kill -0 "$server_pid" 2>/dev/null || { echo "the scripted server did not start" >&2; exit 1; }
        sleep 0.1
    done
    VMPILOT_BASE_URL=$(head -n 1 "$folder/server.log")
    export VMPILOT_BASE_URL VMPILOT_LITELLM_MODEL=openai/scripted
fi

"$python" - "$folder" <<'PYTHON'
import asyncio
import sys
from pathlib import Path

from vmpilot.pipeline import Pipeline

request = "Create the file effect.txt with the text works"
pipeline = Pipeline()
pipeline.valves = pipeline.Valves(folder=sys.argv[1])
messages = [{"role": "user", "content": request}]
for piece in pipeline.pipe(request, "default", messages, {"stream": True}):
    print(piece, end="", flush=True)
asyncio.run(pipeline.on_shutdown())
effect = Path(sys.argv[1], "effect.txt")
if not effect.is_file() or "works" not in effect.read_text():
    sys.exit("failed: the command had no effect")
print("\npassed: the pipeline ran a command through LiteLLM")
PYTHON
