"""Failures a user can act on. Anything else is a bug and keeps its traceback."""


class PipelineError(Exception):
    """Something failed that the user can read about in one sentence; exit code 1."""

    exit_code = 1


class InputError(PipelineError):
    """The input or the way it was asked for is at fault; exit code 2."""

    exit_code = 2
