"""Failures a user can act on, under the name the rooms of pipeline/ know them by."""

from models.errors import InputError, PipelineError, ToolkitError

__all__ = ["InputError", "PipelineError", "ToolkitError"]
