r"""Text a stream's encoding cannot hold: written readably, never a traceback.

A file name that is not UTF-8 reaches Python with lone surrogates in it, which no encoding takes;
under LANG=C even ordinary letters are too many. The byte E9 of such a name is shown as \xe9.
"""

import codecs
import io
import sys

READABLE = "readable"  # an error handler, beside Python's "strict" and "replace"
ESCAPED_BYTES = range(0xDC80, 0xDD00)  # surrogates that stand for the bytes 80 to FF of a file name


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    escaped = [
        f"\\x{ord(letter) - ESCAPED_BYTES.start + 0x80:02x}"
        if ord(letter) in ESCAPED_BYTES
        else letter.encode("ascii", "backslashreplace").decode("ascii")
        for letter in letters
    ]
    return "".join(escaped), error.end


codecs.register_error(READABLE, _escaped)


def print_readably() -> None:
    """Lets stdout and stderr show any text, whatever the terminal's encoding."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=READABLE)
