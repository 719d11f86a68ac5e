"""However long the body of a failure is, only its beginning is read."""

from __future__ import annotations

import httpx

from vmpilot.testing import Flood, HttpError, Reply, ScriptedServer, Step
from vmpilot_backend_litellm.failure_bodies import LONGEST, bound_failure


async def test_a_failure_without_an_end_is_read_so_far() -> None:
    endless = Flood("x" * 5_000, opening="It broke. ", status=500, content_type="text/plain")
    script: list[Step] = [endless, HttpError(404, body="short"), Reply("y" * 2 * LONGEST)]
    with ScriptedServer(script, strict=False) as server:
        async with httpx.AsyncClient(event_hooks={"response": [bound_failure]}) as client:
            broke, missing, whole = [await client.post(f"{server.base_url}/chat/completions", json={}) for _ in script]
        assert server.wait_for_hangup().number == 1
    assert (broke.status_code, len(broke.content), broke.text[:9]) == (500, LONGEST, "It broke.")
    assert missing.text == "short"
    assert len(whole.content) > 2 * LONGEST
