"""What is known of the videos of a batch: a line each, written for good before the next begins.

`batch.jsonl` has the settings in its first line and a line per video after it. A line is appended
by one write and is on the disk before the next video is counted; what a killed run left unfinished
at the end of the file is cut off. At the end of a run the lines are sorted as the videos are
named, and `batch.parquet` gets a row per track where pyarrow is installed.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from models.files import partial_path
from pipeline.batch.videos import Video
from pipeline.errors import InputError, PipelineError
from pipeline.store.files import json_text
from pipeline.store.folders import held_lock

Line = dict[str, Any]
DONE, FAILED = "done", "failed"  # status of a line
KEY = ("video", "reference", "bytes", "mtime_ns")  # fields of `Video.key`
ROWS_AT_ONCE = 5000  # of a table, in memory
VERDICT_PREFIX = "video_"  # of the columns that are of the whole video


class Manifest:
    """Lines of finished videos; a context manager that keeps a second run off them.

    Args:
        path: `DATA_DIR/batch.jsonl`, or a shard's.
        settings: what the rows depend on, see `BatchOptions.row_settings`.
        overwrite: begin anew.

    Raises:
        InputError: the file holds rows of other settings.
        PipelineError: it cannot be read or written, or another run is working on it.
    """

    def __init__(self, path: Path, settings: dict[str, Any], *, overwrite: bool = False) -> None:
        self.path = path
        self._settings = json.loads(json_text(settings))
        self._overwrite = overwrite
        self._places: dict[str, tuple[int, int]] = {}  # of lines, by video: first byte and length
        self._keys: dict[str, tuple[object, ...]] = {}
        self._failed: set[str] = set()
        self._file = -1
        self._stack = ExitStack()

    def __enter__(self) -> "Manifest":
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = held_lock(
                self.path.with_name(f".{self.path.stem}.lock"),
                busy=f"Another run is working on {self.path}; wait for it or use another "
                "--data_dir.",
            )
            self._stack.callback(lock.release)
            self._open()
        except OSError as error:
            self._stack.close()
            raise self._unwritable(error) from error
        except BaseException:
            self._stack.close()
            raise
        return self

    def _open(self) -> None:
        if self._overwrite:
            self.path.unlink(missing_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        self._stack.callback(os.close, self._file)
        end = self._read()
        os.ftruncate(self._file, end)  # a line that was cut off must not be glued to the next
        if not end:
            self._write({"settings": self._settings})

    def _read(self) -> int:
        """Learns what is there; gives where the last whole line ends."""
        end = 0
        with self.path.open("rb") as file:
            for number, data in enumerate(file):
                if not data.endswith(b"\n"):
                    break
                line = _parsed(data)
                if number == 0:
                    self._check_settings(line)
                elif line is not None and all(name in line for name in (*KEY, "status")):
                    self._learn(line, place=(end, len(data)))
                end += len(data)
        return end

    def _check_settings(self, line: Line | None) -> None:
        stored = (line or {}).get("settings")
        if stored == self._settings:
            return
        if not isinstance(stored, dict):
            raise InputError(
                f"{self.path} is no manifest of a batch; move it away or use another --data_dir."
            )
        other = ", ".join(_differences(stored, self._settings))
        raise InputError(
            f"{self.path} was made with other settings ({other}); use the same, another "
            "--data_dir, or --overwrite."
        )

    def _learn(self, line: Line, *, place: tuple[int, int]) -> None:
        name = line["video"]
        self._places[name] = place
        self._keys[name] = tuple(line[key] for key in KEY)
        (self._failed.add if line["status"] == FAILED else self._failed.discard)(name)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def failures(self, videos: Sequence[Video]) -> int:
        """Of how many videos the line says why it failed."""
        return sum(video.video in self._failed for video in videos)

    def knows(self, video: Video, *, failed_too: bool = True) -> bool:
        """Whether there is a line of this video as it is now.

        Args:
            video: what is asked for.
            failed_too: a line that says why it failed counts.
        """
        is_current = self._keys.get(video.video) == tuple(video.key[name] for name in KEY)
        return is_current and (failed_too or video.video not in self._failed)

    def add(self, line: Line) -> None:
        """Writes the line of a video; it is on the disk when this returns.

        Raises:
            PipelineError: it cannot be written.
        """
        try:
            start = os.lseek(self._file, 0, os.SEEK_END)
            length = self._write(line)
        except OSError as error:
            raise self._unwritable(error) from error
        self._learn(line, place=(start, length))

    def _write(self, line: Line) -> int:
        data = (json_text(line) + "\n").encode()
        start = os.lseek(self._file, 0, os.SEEK_END)
        try:
            if os.write(self._file, data) != len(data):
                raise OSError(28, "No space left on device")
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, start)
            raise
        return len(data)

    def finish(self, videos: Sequence[Video]) -> list[Path]:
        """Sorts the lines and writes the table.

        Lines of videos that are named no longer stay, after the others.

        Args:
            videos: in the order of the lines.

        Returns:
            The files of the batch.

        Raises:
            PipelineError: they cannot be written.
        """
        order = [video.video for video in videos if video.video in self._places]
        names = set(order)
        order += [name for name in self._places if name not in names]
        partial = partial_path(self.path)
        try:
            with self.path.open("rb") as source, partial.open("wb") as target:
                target.write((json_text({"settings": self._settings}) + "\n").encode())
                for name in order:
                    source.seek(self._places[name][0])
                    target.write(source.read(self._places[name][1]))
                target.flush()
                os.fsync(target.fileno())
            partial.replace(self.path)
            table = self.path.with_suffix(".parquet")
            return [self.path, table] if write_table(self.path, table) else [self.path]
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> PipelineError:
        return PipelineError(
            f"{self.path} cannot be written ({error.strerror or error}); mend that and run the "
            "same command again."
        )


def failed_line(key: dict[str, Any], reason: str) -> Line:
    """The line of a video that has no results, with one sentence that says why."""
    empty = dict.fromkeys(("seconds", "faces", "sha256", "sound_print", "verdict"))
    return key | {"status": FAILED, "reason": reason} | empty | {"notices": [], "tracks": []}


def _parsed(data: bytes) -> Line | None:
    try:
        line = json.loads(data)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def _differences(stored: Any, current: Any, name: str = "") -> list[str]:
    """Names of the settings in which two records differ."""
    if isinstance(stored, dict) and isinstance(current, dict):
        return [
            words
            for key in dict.fromkeys((*stored, *current))
            for words in _differences(stored.get(key), current.get(key), key)
        ]
    return [] if stored == current else [f"{name} {stored}"]


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a manifest that videos have; what is unfinished at its end is left out."""
    with path.open("rb") as file:
        for number, data in enumerate(file):
            line = _parsed(data)
            if number and line is not None and data.endswith(b"\n") and "video" in line:
                yield line


def track_rows(line: Line) -> list[Line]:
    """The rows of a video in the table: one per track, one without a track where there is none."""
    about = {key: value for key, value in line.items() if key not in ("tracks", "verdict")}
    verdict = {VERDICT_PREFIX + key: value for key, value in (line.get("verdict") or {}).items()}
    tracks = line.get("tracks") or [{}]
    return [
        about | verdict | {"track_reason" if key == "reason" else key: track[key] for key in track}
        for track in tracks
    ]


def write_table(manifest: Path, table: Path) -> bool:
    """Writes a manifest as Parquet, a row per track; false where pyarrow is not installed.

    What is neither a number, a truth value nor text is JSON text there.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return False
    types: dict[str, Callable[[], Any]] = {
        "": pyarrow.null,
        "bool": pyarrow.bool_,
        "int": pyarrow.int64,
        "float": pyarrow.float64,
    }
    kinds = _column_kinds(manifest)
    schema = pyarrow.schema(
        [(name, types.get(kind, pyarrow.string)()) for name, kind in kinds.items()]
    )
    partial = partial_path(table)
    with pyarrow.parquet.ParquetWriter(str(partial), schema) as writer:
        for rows in _batches(manifest):
            columns = {
                name: [_cell(row.get(name), kind) for row in rows] for name, kind in kinds.items()
            }
            writer.write_table(pyarrow.table(columns, schema=schema))
    partial.replace(table)
    return True


def _column_kinds(manifest: Path) -> dict[str, str]:
    """Name to kind of every column: bool, int, float, str, or json where there are several."""
    kinds: dict[str, str] = {}
    for line in read_lines(manifest):
        for row in track_rows(line):
            for name, value in row.items():
                before = kinds.get(name, "")
                kind = "" if value is None else type(value).__name__
                if kind not in ("", "bool", "int", "float", "str"):
                    kind = "json"
                if {before, kind} == {"int", "float"}:
                    kinds[name] = "float"
                elif kind and before and kind != before:
                    kinds[name] = "json"
                else:
                    kinds[name] = kind or before
    return kinds


def _cell(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "float":
        return float(value)
    if kind == "json":
        return json_text(value)
    # Parquet's text is UTF-8: bytes of a name that are not show as in the manifest.
    return value.encode("utf-8", "backslashreplace").decode() if kind == "str" else value


def _batches(manifest: Path) -> Iterator[list[Line]]:
    rows: list[Line] = []
    for line in read_lines(manifest):
        rows += track_rows(line)
        if len(rows) >= ROWS_AT_ONCE:
            yield rows
            rows = []
    if rows:
        yield rows
