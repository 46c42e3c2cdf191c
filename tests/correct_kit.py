"""Verdicts made by hand, and ways to look at corrected files apart from the toolkit."""

import tempfile
from pathlib import Path

from pipeline.correction.container import container_of
from pipeline.correction.mux import Copy, write_copy
from pipeline.correction.plan import Plan
from pipeline.media.probe import probe
from pipeline.verdict.standards import grades
from pipeline.verdict.video import Drift, Part, Shot, Verdict, VideoVerdict
from tests.synthetic import ffmpeg

WORDS: dict[bool, Verdict] = {True: "early", False: "late"}


def verdict(
    *offsets_ms: float,
    ends_s: tuple[float, ...] = (10.0,),
    drift: Drift | None = None,
    shots: tuple[Shot, ...] = (),
    reference: str = "face",
) -> VideoVerdict:
    """Of a video whose parts end at some times and have these offsets; none: not to be told."""
    starts_s = (0.0, *ends_s)
    parts = tuple(
        Part(starts_s[n], ends_s[n], offset_ms, True) for n, offset_ms in enumerate(offsets_ms)
    )
    name: Verdict = "cannot_be_told" if not parts else WORDS[offsets_ms[0] > 0]
    return VideoVerdict(
        reference=reference,
        verdict="steps" if len(parts) > 1 else "drifts" if drift else name,
        sentence="A sentence of the verdict.",
        offset_ms=offsets_ms[0] if parts else None,
        reliable=bool(parts),
        standards=dict(grades(offsets_ms)),
        parts=parts,
        drift=drift,
        shots=shots,
        reasons=(),
        settings={},
    )


def copied(source: Path, out: Path, plan: Plan) -> Copy:
    """Writes a corrected file without any workspace."""
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        return write_copy(
            source,
            probe(source),
            plan,
            out=out,
            target=out,
            container=container_of(out),
            folder=Path(folder),
        )


def packets(path: Path, stream: str) -> list[str]:
    """Digests of the packets of a stream, by ffmpeg alone."""
    rows = path.with_name(f"{path.name}.{stream.replace(':', '')}.md5")
    ffmpeg("-i", path, "-map", f"0:{stream}", "-c", "copy", "-f", "framemd5", rows)
    lines = [line for line in rows.read_text().splitlines() if not line.startswith("#")]
    return [line.rpartition(",")[2].strip() for line in lines]
