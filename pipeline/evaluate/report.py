"""Report of `pipeline.evaluate`: a row per file or track, means, and caveats."""

from dataclasses import dataclass

from models import published
from models.weights import WeightsFile

ROUTES = ("whole", "crops")
INCOMPARABLE = (
    "The two routes show the network different pictures: "
    "figures of one cannot be compared with figures of the other."
)
NOT_THE_LITERATURES = (
    "These are not the LSE-D and LSE-C of the literature, which are syncnet_v2.model's "
    "(./download_model.sh fetches it): other weights have a scale of their own."
)


@dataclass(frozen=True)
class Row:
    """One scored file or track, or a file that could not be scored.

    Attributes:
        file: relative to the folder.
        route: one of `ROUTES`.
        track: number of the track; None for whole frames and where nothing was scored.
        lse_d, lse_c: min dist and confidence; None where nothing was scored.
        offset_frames: by how many frames of 40 ms the sound leads.
        note: why nothing was scored, or what else to know.
    """

    file: str
    route: str
    track: int | None = None
    lse_d: float | None = None
    lse_c: float | None = None
    offset_frames: int | None = None
    note: str | None = None


@dataclass(frozen=True)
class Mean:
    """Mean scores of one route.

    Attributes:
        lse_d, lse_c: means over all scored files or tracks; None where there is none.
        scored: how many those are.
        files_scored, files: number of files scored, and number of files.
    """

    lse_d: float | None
    lse_c: float | None
    scored: int
    files_scored: int
    files: int


def mean(rows: list[Row], route: str) -> Mean:
    """Mean scores of the rows of one route."""
    own = [row for row in rows if row.route == route]
    pairs = [
        (row.lse_d, row.lse_c) for row in own if row.lse_d is not None and row.lse_c is not None
    ]
    return Mean(
        lse_d=sum(d for d, _ in pairs) / len(pairs) if pairs else None,
        lse_c=sum(c for _, c in pairs) / len(pairs) if pairs else None,
        scored=len(pairs),
        files_scored=len({row.file for row in own if row.lse_d is not None}),
        files=len({row.file for row in own}),
    )


def table_line(row: Row, *, width: int) -> str:
    """A row of the table whose first column has `width` letters."""
    start = f"{row.file:<{width}}  {row.route:<5}"
    track = "-" if row.track is None else row.track
    if row.lse_d is None or row.lse_c is None:
        return f"{start}  {track:>5}  not scored: {row.note}"
    return f"{start}  {track:>5}  {row.lse_d:7.3f}  {row.lse_c:7.3f}  {row.offset_frames:+6d}"


def closing_words(
    means: dict[str, Mean], weights_file: WeightsFile, detector: WeightsFile | None = None
) -> str:
    """The means, in the published scripts' words, and what to compare them with."""
    lines = []
    for route, figures in means.items():
        tracks = f"{figures.scored} tracks in " if route == "crops" else ""
        lines.append(f"\n{route}: {tracks}{figures.files_scored} of {figures.files} files")
        if figures.lse_d is not None:
            lines.append(f"Average Confidence: {figures.lse_c:.4f}")
            lines.append(f"Average Minimum Distance: {figures.lse_d:.4f}")
    lines.append(f"\nWeights: {weights_file.file}, sha256 {weights_file.sha256}")
    if detector:
        lines.append(f"Faces by: {detector.file}, sha256 {detector.sha256}")
    return "\n".join(lines + caveats(tuple(means), weights_file))


def caveats(routes: tuple[str, ...], weights_file: WeightsFile) -> list[str]:
    """Sentences on what the figures must not be compared with."""
    literature = weights_file.sha256 == published.table()["syncnet"].sha256
    both = len(routes) > 1
    return [INCOMPARABLE] * both + [NOT_THE_LITERATURES] * (not literature)
