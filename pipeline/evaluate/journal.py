"""Rows of a folder's evaluation, stored as they are made, so that a killed run can resume.

A JSON lines file: its first line holds the settings the rows were made with, every other one a
video by one route, identified by its name, size in bytes and time of change, with all its rows.
"""

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.errors import PipelineError
from pipeline.store.files import json_text, write_text

Rows = list[dict[str, Any]]


def video_key(video: Path, name: str, route: str) -> dict[str, Any]:
    """Identifies a video by name, size and time of change; its content is not read.

    Raises:
        OSError: the file does not exist.
    """
    status = video.stat()
    return {"file": name, "route": route, "bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


class Journal:
    """Finished videos of one evaluation; a context manager that keeps the file open.

    Args:
        path: of the file; made where it is not there, begun anew where it holds rows of other
            settings.
        settings: whatever the rows depend on, but the videos.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self._path = path
        self._settings = json.loads(json_text(settings))
        self._rows = _read(path, self._settings)

    def __enter__(self) -> "Journal":
        lines = [{"settings": self._settings}]
        lines += [{"key": json.loads(key), "rows": rows} for key, rows in self._rows.items()]
        try:
            # Anew: what comes next must not be glued to a line that was cut off.
            write_text(self._path, "".join(json_text(line) + "\n" for line in lines))
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        """Finished videos, by each route."""
        return len(self._rows)

    def finished(self, key: dict[str, Any]) -> Rows | None:
        """The rows of `video_key`; None where there are none yet."""
        return self._rows.get(json.dumps(key))

    def add(self, key: dict[str, Any], rows: Rows) -> None:
        """Keeps all rows of a video by one route, before the next video is begun.

        Raises:
            PipelineError: they cannot be written.
        """
        self._rows[json.dumps(key)] = rows
        try:
            self._file.write(json_text({"key": key, "rows": rows}) + "\n")
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def remove(self) -> None:
        """Deletes the file: everything in it has been written where it belongs."""
        self._path.unlink(missing_ok=True)

    def _unwritable(self, error: OSError) -> PipelineError:
        return PipelineError(
            f"{self._path} cannot be written ({error.strerror}); give --json another folder."
        )


def _read(path: Path, settings: dict[str, Any]) -> dict[str, Rows]:
    """Rows by the text of their key; none where the file holds rows of other settings."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return {}
    rows: dict[str, Rows] = {}
    for number, line in enumerate(lines):
        try:
            stored = json.loads(line)
            if number == 0 and stored["settings"] != settings:
                return {}
            if number:
                rows[json.dumps(stored["key"])] = list(stored["rows"])
        except (ValueError, TypeError, KeyError):  # cut off where the run was killed
            break
    return rows
