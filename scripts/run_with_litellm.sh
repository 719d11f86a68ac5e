#!/usr/bin/env bash
# Run VMPilot with the LiteLLM backend: run_with_litellm.sh "what is to be done"
# The model is VMPILOT_LITELLM_MODEL (default gpt-4o); options of vmpilot may be given as well.
set -euo pipefail

python=${PYTHON:-python3}
if ! "$python" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("vmpilot_backend_litellm") is None)'; then
    echo "vmpilot-backend-litellm is not installed for $python: pip install ./vmpilot-core ./vmpilot-backend-litellm" >&2
    exit 5
fi
if [ $# -eq 0 ]; then
    echo "usage: $0 [options] REQUEST" >&2
    exit 2
fi
export VMPILOT_USE_LITELLM=true
exec "$python" -m vmpilot.cli "$@"
