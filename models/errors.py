"""Errors that a user can act on; without torch, so that they import quickly.

Whoever calls the toolkit can catch `ToolkitError` alone. Anything else is a bug and keeps its
traceback.
"""


class ToolkitError(Exception):
    """A failure that one sentence explains to the user.

    Attributes:
        exit_code: what a script that fails this way ends with: 1 for a failure, 2 for an input.
    """

    exit_code = 1


class PipelineError(ToolkitError):
    """Reading, computing or writing failed."""


class InputError(PipelineError):
    """The input or an option is at fault."""

    exit_code = 2


class InvalidOption(InputError):
    """An option has an unsupported value.

    Args:
        name: of the option.
        value: given for it.
        supported: what it may be, in words.

    Attributes:
        on_command_line: the sentence with the flag of that name.
    """

    def __init__(self, name: str, value: object, supported: str) -> None:
        super().__init__(f"Invalid {name} ({value!r}); supported: {supported}.")
        self.on_command_line = f"Invalid --{name} ({value!r}); supported: {supported}."


class WeightsError(ToolkitError):
    """A weights file is absent, damaged, or belongs to another network."""

    exit_code = 2
