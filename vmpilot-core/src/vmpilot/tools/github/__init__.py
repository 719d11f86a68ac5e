"""The tool for issues, pull requests and branches on GitHub. Its library (extra `github`) is imported at first use."""

from vmpilot.tools.github._tool import GITHUB_API_URL, GitHub

__all__ = ["GITHUB_API_URL", "GitHub"]
