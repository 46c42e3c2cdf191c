"""Failures a user can act on, as pipeline/ imports them."""

from models.errors import InputError, PipelineError, ToolkitError

__all__ = ["InputError", "PipelineError", "ToolkitError"]
