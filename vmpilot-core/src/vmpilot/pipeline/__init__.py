"""The adapter for Open WebUI Pipelines: `from vmpilot.pipeline import Pipeline`."""

from vmpilot.pipeline._adapter import Pipeline

__all__ = ["Pipeline"]
