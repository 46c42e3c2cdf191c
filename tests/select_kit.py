"""Manifests of batches that nobody ran, and one of results that are there."""

import json
from pathlib import Path
from typing import Any

from pipeline.batch.manifest import Line
from pipeline.store.files import json_text
from pipeline.store.workspace import Workspace
from tests.batch_worker import row_of


def line(data_dir: Path, name: str, *tracks: dict[str, Any], **about: Any) -> Line:
    """The line of a video; `tracks` change the rows of as many of its tracks."""
    key = {"video": f"/videos/{name}.mp4", "reference": name, "bytes": 1, "mtime_ns": 1}
    row_line = row_of(key, 0) | {"sha256": name} | about
    usual = row_line["tracks"][0]
    row_line["tracks"] = [
        usual | {"track": n, "file": f"{n:05d}.avi"} | changed for n, changed in enumerate(tracks)
    ]
    return row_line


def write_batch(data_dir: Path, *lines: Line, name: str = "batch.jsonl") -> Path:
    """A data_dir with a manifest of these lines."""
    data_dir.mkdir(parents=True, exist_ok=True)
    rows = [{"settings": {}}, *lines]
    (data_dir / name).write_text("".join(json_text(row) + "\n" for row in rows), encoding="utf-8")
    return data_dir


def batch_of(work: Workspace, **changed: Any) -> Path:
    """The data_dir of results that are there, with a manifest; `changed` is of every track."""
    rows = [row | changed for row in json.loads(work.offsets_json.read_text("utf-8"))]
    row_line = line(work.data_dir, work.reference, *rows)
    return write_batch(work.data_dir, row_line)


def decisions(out: Path) -> dict[tuple[str, int], str | None]:
    """Why each track of a selection is dropped, None where it stays, by reference and number."""
    rows = [json.loads(text) for text in (out / "selection.jsonl").read_text("utf-8").splitlines()]
    return {(row["reference"], row["row"]["track"]): row["dropped_because"] for row in rows}
