"""The tools for the web: one searches it, one reads a page. Their libraries (extra `web`) are imported at first use."""

from vmpilot.tools.web.fetch import WebFetch
from vmpilot.tools.web.google import GoogleAccount
from vmpilot.tools.web.search import WebSearch

__all__ = ["GoogleAccount", "WebFetch", "WebSearch"]
