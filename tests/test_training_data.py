"""What the lip-sync networks are trained on: chosen, cached, moved to offset 0, cut, logged."""

import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from models import features, syncnet
from models.features import SAMPLES_PER_FRAME
from models.syncnet import SMALL, SyncNet
from pipeline.errors import InputError
from pipeline.media import decode
from pipeline.store.workspace import Workspace
from tests.score_kit import scorer_of
from training.batches import augment, excerpts
from training.batches.chances import chances, choose
from training.batches.excerpts import Draw
from training.data import people, samples, selection
from training.data.ahead import batches_ahead
from training.data.samples import Clip
from training.drawn_tracks import write_track
from training.evaluate import judging
from training.loop.journal import Journal, read_rows

FRAMES = 40


def _noise(rng: np.random.Generator, *, frames: int = FRAMES) -> tuple[np.ndarray, np.ndarray]:
    """Blurry pictures and loud sound."""
    small = rng.integers(0, 255, (frames, 14, 14, 3), dtype=np.uint8)
    sound = rng.integers(-9000, 9000, frames * SAMPLES_PER_FRAME, dtype=np.int16)
    return small.repeat(16, axis=1).repeat(16, axis=2), sound


@pytest.fixture
def tracks(tmp_path: Path) -> Path:
    """A data_dir with a short track in each of two videos."""
    rng = np.random.default_rng(7)
    for reference in ("anna", "carl"):
        work = Workspace(tmp_path / "tracks", reference)
        work.folder("pycrop").mkdir(parents=True)
        write_track(work.crop(0), *_noise(rng))
    return tmp_path / "tracks"


def _long_clip(seed: int, *, frames: int = 130, name: str = "work/talk/00000") -> Clip:
    """A clip in memory, long enough for an excerpt of the small network at any speed."""
    rng = np.random.default_rng(seed)
    size = samples.margin_config(SMALL).lip_size_px
    pictures = rng.integers(0, 255, (frames, 1, size, size), dtype=np.uint8)
    sound = rng.integers(-9000, 9000, frames * SAMPLES_PER_FRAME, dtype=np.int16)
    return Clip(name, pictures, sound)


# Which clips: what run_syncnet.py said of them.


def _scored(data_dir: Path, *, json_rows: object = None, text: str | None = None) -> list[Path]:
    work = Workspace(data_dir, "talk")
    work.folder("pywork").mkdir(parents=True, exist_ok=True)
    if json_rows is not None:
        work.offsets_json.write_text(json.dumps(json_rows))
    if text is not None:
        work.offsets_text.write_text(text)
    return [work.crop(track) for track in range(6)]


def _row(track: int, offset_ms: float | None, confidence: float | None, *, edge: bool) -> dict:
    row = {"file": f"{track:05d}.avi", "offset_ms": offset_ms, "confidence": confidence}
    return row | {"at_search_edge": edge}


def test_scored_clips_are_chosen_by_confidence_offset_and_edge(tmp_path: Path) -> None:
    """offsets.json decides over offsets.txt; what is left out has a reason; unscored clips stay."""
    rows = [
        _row(0, 43.5, 4.2, edge=False),
        _row(1, 40.0, 0.9, edge=False),
        _row(2, -444.0, 5.0, edge=False),
        _row(3, 600.0, 5.0, edge=True),
        _row(4, None, None, edge=False),
    ]
    files = _scored(tmp_path / "work", json_rows=rows, text="nonsense")
    offsets = selection.known_offsets(files)
    chosen, left_out = selection.select(files, offsets, min_confidence=1.0, max_offset=10)
    assert [file.stem for file in chosen] == ["00000", "00005"]
    assert left_out == {
        "work/talk/00001": "low confidence (0.9)",
        "work/talk/00002": "too far apart (-444 ms)",
        "work/talk/00003": "no offset within the search range",
        "work/talk/00004": "no offset within the search range",
    }
    words = selection.in_words(left_out)
    assert words.startswith("4 clips left out (2 no offset within the search range, 1 low conf")
    assert "work/talk/00001: low confidence (0.9)" in words and words.endswith(", and 1 more")
    clips = selection.aligned([_long_clip(1), _long_clip(2, name="work/talk/00005")], offsets)
    assert [clip.offset_ms for clip in clips] == [43.5, 0.0]


def test_the_demos_text_table_is_read(tmp_path: Path) -> None:
    """Whole frames and confidence of offsets.txt; the largest offset allowed is allowed."""
    text = (
        "FILENAME\tOFFSET\tCONF\n00000.avi\t-6\t0.847\n00001.avi\t10\t1.643\n00002.avi\t-11\t3.1\n"
    )
    files = _scored(tmp_path / "work", text=text)[:3]
    offsets = selection.known_offsets(files)
    assert offsets["work/talk/00000"] == (-240.0, 0.847)
    chosen, left_out = selection.select(files, offsets, min_confidence=1.0, max_offset=10)
    assert chosen == files[1:2] and len(left_out) == 2
    chosen, _ = selection.select(files, offsets, min_confidence=0.8, max_offset=11)
    assert chosen == files


@pytest.mark.parametrize(
    ("json_rows", "text"),
    [([1, 2], None), ({"file": 3}, None), ([{"file": "00000.avi"}], None), (None, "A\nb\t1\n")],
)
def test_a_table_of_another_format_is_named(
    tmp_path: Path, json_rows: object, text: str | None
) -> None:
    """One sentence with the file, not a traceback."""
    files = _scored(tmp_path / "work", json_rows=json_rows, text=text)
    with pytest.raises(InputError, match=r"offsets\.(json|txt) has another format; run run_sync"):
        selection.known_offsets(files)


def test_two_clips_of_one_name_are_refused(tracks: Path, tmp_path: Path) -> None:
    """The same folder twice, or folders of the same name, would be taken for each other."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "tracks").symlink_to(tracks)
    for other in (tracks, tmp_path / "elsewhere/../tracks", tmp_path / "elsewhere/tracks"):
        with pytest.raises(InputError, match="would both be called tracks/anna/00000"):
            samples.clip_files([tracks, other])


def test_folder_without_crops_is_told_apart_by_what_is_in_it(tracks: Path, tmp_path: Path) -> None:
    """A level too high or too deep, a preprocessed_root, raw videos, nothing."""
    raw, root, empty = (tmp_path / "more" / name for name in ("raw", "root", "empty"))
    for folder in (raw, root / "a" / "b", empty):
        folder.mkdir(parents=True)
    (root / "a" / "b" / "audio.wav").touch()
    for name in "abcde":
        (raw / f"{name}.mp4").touch()
    for folder, message in {
        tmp_path: rf"{tracks} has one; give that",
        tracks / "pycrop": rf"{tracks} has one; give that",
        tracks / "pycrop" / "anna": rf"{tracks} has one; give that",
        root: r"it is a preprocessed_root, which train_wav2lip\.py reads",
        raw: r"there is a\.mp4, b\.mp4, c\.mp4 and 2 more in it; run run_pipeline\.py on",
        empty: r"there is nothing in it; run run_pipeline\.py on",
    }.items():
        with pytest.raises(InputError, match=rf"{folder} has no pycrop folder; {message}"):
            samples.clip_files([folder])


# Nobody on both sides.


def _copied(tracks: Path, other: Path, *references: str) -> Path:
    for reference in references:
        shutil.copytree(tracks / "pycrop" / "anna", other / "pycrop" / reference)
    return other


def test_val_that_shares_a_file_or_a_person_with_data_is_refused(
    tracks: Path, tmp_path: Path
) -> None:
    """The same folder under any name, one video, one person of people.csv."""
    others = _copied(tracks, tmp_path / "others", "dora", "emil")
    people.check_folders_apart([tracks], [others])
    people.check_folders_apart([tracks], [])
    (tmp_path / "again").symlink_to(tracks)
    for val in (tracks, tmp_path / "again", tracks / ".." / "tracks"):
        with pytest.raises(InputError, match=r"anna.* is in --data and in --val"):
            people.check_folders_apart([tracks], [others, val])
    (tracks / "people.csv").write_text("reference,person\nanna,anna b\n")
    (others / "people.csv").write_text("reference,person\nemil,anna b\n")
    with pytest.raises(InputError, match=r"anna b is in --data and in --val"):
        people.check_folders_apart([tracks], [others])


def test_lists_that_share_a_video_or_a_person_are_refused(tmp_path: Path) -> None:
    """One programme may be on both lists, as far as no people.csv knows better."""
    root = tmp_path / "root"
    for name in ("a/1", "a/2", "b/1"):
        (root / name).mkdir(parents=True)
        (root / name / "audio.wav").touch()
    (tmp_path / "train.txt").write_text("a/1\n")
    (tmp_path / "val.txt").write_text("a/2\nb/1\n")
    people.check_folders_apart([root], [], tmp_path)
    (root / "people.csv").write_text("reference,person\na,p1\nb,p1\n")
    with pytest.raises(InputError, match=r"p1 is in --data and in --val"):
        people.check_folders_apart([root], [], tmp_path)
    (root / "people.csv").unlink()
    (tmp_path / "val.txt").write_text("a/2\na/1 77\n")
    with pytest.raises(InputError, match=r"a/1 is in --data and in --val"):
        people.check_folders_apart([root], [], tmp_path)
    with pytest.raises(InputError, match=r"is in --data and in --val"):
        people.check_folders_apart([root], [root])


# Known offsets are taken out.


def test_shifted_sound_moves_by_whole_frames() -> None:
    """Lead 120 ms: the sound of frame f + 3 is heard at f; beyond the clip there is silence."""
    marks = np.repeat(np.arange(1, 11, dtype=np.int16), SAMPLES_PER_FRAME)
    clip = Clip("x", np.zeros((10, 1, 62, 62), np.uint8), marks)
    for lead in (-12, -4, 0, 3, 12):
        sound = samples.shifted_sound(clip, first=2, frames=5, lead_ms=40 * lead)
        expected = [frame + lead + 1 for frame in range(2, 7)]
        assert sound[::SAMPLES_PER_FRAME].tolist() == [w if 1 <= w <= 10 else 0 for w in expected]


@pytest.mark.parametrize("lead_samples", [400, -400])
def test_a_known_offset_below_a_frame_is_taken_out(
    lead_samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sound that leads or lags by 25 ms, and a clip that says so: the batch of a clip in sync."""
    monkeypatch.setattr(excerpts, "_starts", lambda *_, **__: range(4, 12))
    aligned = _long_clip(3)
    shifted = replace(
        aligned, samples=np.roll(aligned.samples, -lead_samples), offset_ms=lead_samples / 16
    )
    for step in range(3):
        one, other = (
            excerpts.draw_batch([clip], SMALL, Draw(seed=1, excerpts=2), step=step)
            for clip in (aligned, shifted)
        )
        assert torch.equal(one.sound, other.sound) and torch.equal(one.lips, other.lips)
    forgotten = excerpts.draw_batch(
        [replace(shifted, offset_ms=0.0)], SMALL, Draw(seed=1, excerpts=2), step=2
    )
    assert not torch.equal(forgotten.sound, one.sound)


def _numbered(frames: int, **lag: Any) -> Clip:
    """Pictures and sound hold their frame number; the sound is never zero. See `cuts`."""
    size = samples.margin_config(SMALL).lip_size_px
    numbers = np.arange(frames, dtype=np.uint8)
    pictures = np.broadcast_to(numbers[:, None, None, None], (frames, 1, size, size))
    sound = (100 * np.arange(1, frames + 1)).repeat(SAMPLES_PER_FRAME).astype(np.int16)
    return Clip("work/talk/00000", pictures, sound, **lag)


@dataclass
class _Cut:
    """First picture of an excerpt, its pace, and for every sample the frame that is heard."""

    first: int
    pace: float
    sound: np.ndarray


@pytest.fixture
def cuts(monkeypatch: pytest.MonkeyPatch) -> list[_Cut]:
    """What excerpts are cut to before they are augmented, of clips of `_numbered`."""
    calls: list[_Cut] = []
    sounds: list[np.ndarray] = []

    def see(pictures: torch.Tensor, _rng: object, **_: object) -> torch.Tensor:
        numbers = pictures[:, 0, 0, 0].float()
        pace = float(numbers[-1] - numbers[0]) / (len(numbers) - 1)
        calls.append(_Cut(int(numbers[0]), pace, sounds[-1]))
        return torch.zeros(len(pictures), 1, 1, 1)

    def hear(values: np.ndarray, _rng: object) -> np.ndarray:
        sounds.append(values / 100 - 1)
        return values

    monkeypatch.setattr(excerpts, "augment_lips", see)
    monkeypatch.setattr(excerpts, "augment_sound", hear)
    monkeypatch.setattr(features, "mfcc", lambda values: np.zeros((len(values) // 160, 13)))
    monkeypatch.setattr(excerpts, "_windows", lambda *_, **__: (torch.zeros(0), torch.zeros(0)))
    return calls


@pytest.mark.parametrize("parts", [1, 2, 4])
@pytest.mark.parametrize("lead_frames", [0, 6, -6])
def test_excerpts_hear_their_own_sound_and_never_silence(
    cuts: list[_Cut], monkeypatch: pytest.MonkeyPatch, lead_frames: int, parts: int
) -> None:
    """Where the sound leads or lags, starts without all of their sound are not drawn.

    Parts hear two frames of true sound before and after them; a column more comes first.
    """
    monkeypatch.setattr(excerpts, "PARTS_CHANCES", {parts: 1.0})
    clip = _numbered(130, offset_ms=40.0 * lead_frames)
    for step in range(12):
        excerpts.draw_batch([clip], SMALL, Draw(seed=1, excerpts=1), step=step)
    before = 160 + (2 * SAMPLES_PER_FRAME if parts > 1 else 0)
    for cut in cuts:
        at = cut.sound[before + 320 :: SAMPLES_PER_FRAME][:96]
        expected = cut.first - lead_frames + cut.pace * np.arange(96)
        assert np.abs(at - expected)[:-1].max() < 1
        rising = np.diff(cut.sound[: -2 * SAMPLES_PER_FRAME])
        assert (rising[160:] >= 0).all() and rising.min() >= (0 if parts > 1 else -1)
    assert len(cuts) == 12 and len({cut.first for cut in cuts}) > 3


def test_a_clip_too_short_for_its_lag_has_no_silence_either(cuts: list[_Cut]) -> None:
    """What is missing is mirrored: digital silence would move the mean of the whole excerpt."""
    for lead_frames in (9, -9, 0):
        clip = _numbered(96, offset_ms=40.0 * lead_frames)
        excerpts.draw_batch([clip], SMALL, Draw(seed=1, excerpts=4), step=0)
    assert len(cuts) == 12 and all(cut.sound.min() >= 0 for cut in cuts)
    without_start = _numbered(96, offset_ms=9000.0)
    excerpts.draw_batch([without_start], SMALL, Draw(seed=1, excerpts=1), step=0)


def test_a_drifting_clip_is_heard_with_the_lag_of_the_excerpts_middle(cuts: list[_Cut]) -> None:
    """A made clip whose sound leads by 6 frames more at its end than at its start."""
    frames = 250
    clip = _numbered(frames, drift_ms_per_min=6 * 40 / (frames / 1500))
    leads = 6 * (np.arange(frames) / frames - 0.5)
    expected_sound = 100 * (np.arange(frames) + leads + 1)
    clip = replace(clip, samples=expected_sound.repeat(SAMPLES_PER_FRAME).astype(np.int16))
    for step in range(12):
        excerpts.draw_batch([clip], SMALL, Draw(seed=1, excerpts=1), step=step)
    for cut in cuts:
        middle = len(cut.sound) // 2
        expected = cut.first + cut.pace * 48
        assert cut.sound[middle] == pytest.approx(expected, abs=1)
    assert min(cut.first for cut in cuts) < 50 and max(cut.first for cut in cuts) > 90


@pytest.mark.parametrize(("parts", "windows"), [(2, 15), (4, 7)])
def test_sound_of_parts_goes_beyond_their_ends(
    parts: int, windows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lips see the first and the last picture repeated; sound goes on as in the file.

    Were it repeated, too, lips at an end would be known to belong to sound at an end.
    """
    monkeypatch.setattr(excerpts, "PARTS_CHANCES", {parts: 1.0})
    for name in ("augment_sound", "mask_columns", "disturb_normalised"):
        monkeypatch.setattr(excerpts, name, lambda values, _rng: values)
    monkeypatch.setattr(excerpts, "_stretch", lambda _rng, frames: frames)
    clip = _long_clip(5)
    steps_of_clip = torch.from_numpy(np.diff(features.mfcc(clip.samples), axis=0).T)
    deviations = torch.tensor([3.0, *[10.0] * 12])[:, None]
    batch = excerpts.draw_batch([clip], SMALL, Draw(seed=3, excerpts=1), step=0)
    assert batch.lips.shape[1] == parts * windows
    for lips, sound in zip(
        batch.lips[0].split(windows), batch.sound[0, :, 0].split(windows), strict=True
    ):
        assert torch.equal(lips[0, :, 0], lips[0, :, 2]) and not torch.equal(
            lips[5, :, 0], lips[5, :, 2]
        )
        indices = []
        for window in (sound[0], sound[-1]):
            steps = window.diff(dim=1) * deviations
            difference = (steps_of_clip.unfold(1, 35, 1) - steps[:, None]).abs().amax(dim=(0, 2))
            assert float(difference.min()) < 1e-3  # as it is in the file
            indices.append(int(difference.argmin()))
        assert indices[1] - indices[0] == (windows - 1) * 3 * 4


def test_short_clips_without_neighbours_are_not_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip as long as an excerpt has no sound beyond its ends: its windows stay inside."""
    monkeypatch.setattr(excerpts, "PARTS_CHANCES", {2: 1.0})
    monkeypatch.setattr(excerpts, "disturb_normalised", lambda values, _rng: values)
    for frames, split in ((96, False), (130, True)):
        batch = excerpts.draw_batch(
            [_long_clip(1, frames=frames)], SMALL, Draw(seed=3, excerpts=2), step=0
        )
        for lips in batch.lips:
            assert torch.equal(lips[0, :, 0], lips[0, :, 2]) == split


# Whose excerpts.


def test_excerpts_that_are_compared_are_of_different_people_at_one_pace(cuts: list[_Cut]) -> None:
    """Wrong sound of another excerpt must not be known by how it was made, nor be of one clip."""
    clips = [
        replace(_numbered(130), name=f"work/{person}/{track:05d}")
        for person in "abcd"
        for track in range(3)
    ]
    paces = set()
    for step in range(16):
        del cuts[:]
        excerpts.draw_batch(clips, SMALL, Draw(seed=1, excerpts=4, across=True), step=step)
        assert max(cut.pace for cut in cuts) - min(cut.pace for cut in cuts) < 0.03
        paces.add(round(cuts[0].pace, 2))
    assert len(paces) > 3
    del cuts[:]
    excerpts.draw_batch(clips, SMALL, Draw(seed=1, excerpts=8), step=0)
    assert max(cut.pace for cut in cuts) - min(cut.pace for cut in cuts) > 0.05


def test_pace_of_a_batch_that_is_compared_fits_its_shortest_clip(cuts: list[_Cut]) -> None:
    """A clip that has no more than an excerpt is played as it is, and so are the others."""
    clips = [
        replace(_numbered(frames), name=f"work/{frames}/00000") for frames in (96, 120, 130, 140)
    ]
    for step in range(8):
        del cuts[:]
        excerpts.draw_batch(clips, SMALL, Draw(seed=1, excerpts=4, across=True), step=step)
        assert max(cut.pace for cut in cuts) - min(cut.pace for cut in cuts) < 0.03


def test_nobody_comes_up_twice_where_excerpts_are_compared() -> None:
    """Nor more often than their share rounded up where they are not; no clip without need."""
    persons = ["a"] * 6 + ["b", "c", "d", "e"]
    lengths = [4000.0] * 6 + [100.0] * 4
    for seed in range(30):
        rng = np.random.default_rng(seed)
        four = choose(rng, lengths, persons, count=4, across=True)
        assert len({persons[index] for index in four}) == 4
        eight = choose(rng, lengths, persons, count=8, across=True)
        assert max(Counter(persons[index] for index in eight).values()) == 2
        plain = choose(rng, lengths, persons, count=8, across=False)
        assert 6 <= sum(persons[index] == "a" for index in plain) <= 7  # 0.795 of 8
        assert len(set(plain)) >= 7
    counts = Counter(
        int(index)
        for seed in range(400)
        for index in choose(np.random.default_rng(seed), lengths, persons, count=4, across=False)
    )
    shares = np.array([counts[index] for index in range(10)]) / 1600
    assert shares == pytest.approx(chances(lengths, persons), abs=0.03)


def test_people_weigh_by_the_root_of_their_minutes() -> None:
    """Forty clips of one person weigh twice as much as a clip as long as ten of them."""
    clips = [replace(_long_clip(1), name=f"in/a/{n:05d}") for n in range(40)]
    other = replace(_long_clip(1, frames=1300), name="in/b/00000")
    weights = excerpts.chances([*clips, other])
    assert weights[:40].sum() == pytest.approx(2 / 3) and weights[40] == pytest.approx(1 / 3)
    assert weights[:40] == pytest.approx(weights[0])
    named = [replace(clip, person=f"p{n % 2}") for n, clip in enumerate(clips)]
    weights = excerpts.chances([*named, replace(other, person="p2")])
    assert weights[40] == pytest.approx(10**0.5 / (2 * 20**0.5 + 10**0.5))
    heads = [replace(_long_clip(1), name=f"drawn/{n}") for n in range(4)]
    assert excerpts.chances([*heads, heads[0]])[1] == pytest.approx(1 / (3 + 2**0.5))


# The cache.


def test_decoded_clips_are_mapped_and_not_decoded_again(
    tracks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second load touches no video; another view, version or file is decoded anew."""
    files, cache = samples.clip_files([tracks]), tmp_path / "cache"
    first = samples.load_clips(files, SMALL, cache=cache, margin=True).clips
    assert all(isinstance(clip.pictures, np.memmap) for clip in first)
    assert first[0].pictures.shape == (FRAMES, 1, 62, 62) and len(list(cache.iterdir())) == 4
    decoded: list[Path] = []
    original = decode.read_frames

    def counting(path: Path, **options: object) -> Iterator[np.ndarray]:
        decoded.append(path)
        return original(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(decode, "read_frames", counting)
    again = samples.load_clips(files, SMALL, cache=cache, margin=True).clips
    assert not decoded
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.pictures, other.pictures)
        assert np.array_equal(one.samples, other.samples) and one.name == other.name
    samples.load_clips(files, SMALL, cache=cache, margin=False)
    assert decoded == files
    files[0].touch()
    samples.load_clips(files, SMALL, cache=cache, margin=True)
    assert decoded == [*files, files[0]]
    monkeypatch.setattr(samples, "CACHE_VERSION", samples.CACHE_VERSION + 1)
    samples.load_clips(files, SMALL, cache=cache, margin=True)
    assert decoded == [*files, files[0], *files]


def test_the_cache_stays_below_its_bound(tracks: Path, tmp_path: Path) -> None:
    """What does not fit is left out and said; what is there counts."""
    files, cache = samples.clip_files([tracks]), tmp_path / "cache"
    one_gb = (FRAMES * 62 * 62 + FRAMES * SAMPLES_PER_FRAME * 2) / 1e9
    for _ in range(2):
        loaded = samples.load_clips(files, SMALL, cache=cache, margin=True, cache_gb=1.5 * one_gb)
        assert [clip.name for clip in loaded.clips] == ["tracks/anna/00000"]
        assert loaded.left_out["tracks/carl/00000"].startswith("cache full (--cache_gb ")
    assert sum(path.stat().st_size for path in cache.iterdir()) < 1.5e9 * one_gb
    with pytest.raises(InputError, match="anna/00000: cache full"):
        samples.load_clips(files, SMALL, cache=tmp_path / "other", margin=True, cache_gb=0)


def test_a_killed_decoding_leaves_nothing_that_counts(
    tracks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written beside and renamed: half an array is not taken for a clip."""
    files, cache = samples.clip_files([tracks])[:1], tmp_path / "cache"
    original = Path.replace

    def killed(path: Path, target: Path) -> Path:
        if "pictures" in path.name:
            raise KeyboardInterrupt
        return original(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        samples.load_clips(files, SMALL, cache=cache, margin=True)
    monkeypatch.undo()
    assert not list(cache.glob("*.pictures.npy"))
    assert len(samples.load_clips(files, SMALL, cache=cache, margin=True).clips) == 1


def test_broken_and_silent_clips_are_left_out_by_name(tracks: Path, tmp_path: Path) -> None:
    """One that is no video, one cut off, one without sound; the rest is used."""
    work = Workspace(tracks, "anna")
    pictures, _ = _noise(np.random.default_rng(1))
    work.crop(1).write_bytes(b"not a video")
    work.crop(2).write_bytes(work.crop(0).read_bytes()[:300])
    write_track(work.crop(3), pictures, np.zeros(0, np.int16))
    write_track(work.crop(4), pictures, np.zeros(FRAMES * SAMPLES_PER_FRAME, np.int16))
    files = samples.clip_files([tracks])
    loaded = samples.load_clips(files, SMALL, cache=tmp_path / "cache", margin=True)
    assert [clip.name for clip in loaded.clips] == ["tracks/anna/00000", "tracks/carl/00000"]
    assert list(loaded.left_out) == [f"tracks/anna/{track:05d}" for track in (1, 2, 3, 4)]
    for track in (1, 2):
        assert loaded.left_out[f"tracks/anna/{track:05d}"].startswith("unreadable (")
    assert loaded.left_out["tracks/anna/00003"] == "no sound"
    assert loaded.left_out["tracks/anna/00004"] == "silent sound"


def test_clips_as_loud_as_samples_can_be_are_used(tracks: Path, tmp_path: Path) -> None:
    """From the least to the largest of 16 bits; and sound of a few steps, which is not silence."""
    work = Workspace(tracks, "anna")
    pictures, _ = _noise(np.random.default_rng(1))
    for track, peak in ((0, 32767), (1, 3)):
        square = np.where(np.arange(FRAMES * SAMPLES_PER_FRAME) % 80 < 40, peak, -peak - 1)
        write_track(work.crop(track), pictures, square.astype(np.int16))
    files = samples.clip_files([tracks])
    loaded = samples.load_clips(files, SMALL, cache=tmp_path / "cache", margin=True)
    assert loaded.left_out == {} and len(loaded.clips) == 3


def test_margin_and_middle_are_what_the_network_sees(
    tracks: Path, tmp_path: Path, cpu: torch.device
) -> None:
    """The margin surrounds what the network sees; without it pieces score as clips do."""
    file = Workspace(tracks, "anna").crop(0)
    frame = next(iter(decode.read_frames(file)))
    wide = syncnet.lip_pixels(frame, samples.margin_config(SMALL))[0]
    margin = (wide.shape[0] - SMALL.lip_size_px) // 2
    inner = wide[margin : margin + SMALL.lip_size_px, margin : margin + SMALL.lip_size_px]
    assert np.abs(inner.astype(int) - syncnet.lip_pixels(frame, SMALL)[0]).mean() < 20
    torch.manual_seed(1)
    model = SyncNet(SMALL).eval()
    (clip,) = samples.load_clips([file], SMALL, cache=tmp_path / "cache", margin=False).clips
    sync = judging.score_piece(model, clip, first=0, frames=FRAMES, device=cpu)
    scored = scorer_of(model).score(file)
    assert sync is not None and scored.sync is not None
    assert sync.framewise == pytest.approx(scored.sync.framewise, abs=1e-4)
    assert sync.offset_frames == scored.sync.offset_frames


# Batches.


def test_a_batch_holds_windows_of_both_streams() -> None:
    """28 windows an excerpt for the small network; normalised pictures, finite sound."""
    batch = excerpts.draw_batch([_long_clip(1)], SMALL, Draw(seed=3, excerpts=2), step=0)
    assert excerpts.window_count(SMALL) == 28
    assert batch.lips.shape == (2, 28, 1, 9, 48, 48) and batch.sound.shape == (2, 28, 1, 13, 36)
    assert abs(float(batch.lips.mean())) < 0.1 and 0.5 < float(batch.lips.std()) < 1.5
    assert bool(batch.sound.isfinite().all()) and len(set(batch.seeds)) == 2
    assert float(batch.sound.mean(dim=(0, 1, 2, 4)).abs().max()) < 0.1  # of each coefficient
    assert 0.2 < float(batch.sound.std()) < 1  # cepstra as they are scatter ten times as much


def test_batch_for_the_published_network_is_not_normalised() -> None:
    """Colour in 0 to 255 and cepstra as they are: windows of five frames, 3.84 s an excerpt."""
    config = replace(SMALL, grey=False, context_s=0.0, window_frames=5)
    size = samples.margin_config(config).lip_size_px
    pictures = np.full((130, 3, size, size), 120, np.uint8)
    clip = replace(_long_clip(1), pictures=pictures)
    batch = excerpts.draw_batch([clip], config, Draw(seed=3, excerpts=4), step=0)
    assert excerpts.excerpt_frames(config) == 96
    assert batch.lips.shape == (4, 30, 3, 5, 48, 48) and batch.sound.shape == (4, 30, 1, 13, 20)
    assert 60 < float(batch.lips.mean()) < 200
    assert float(batch.sound[:, :, 0, 0].mean()) > 5  # the loudness of noise


@pytest.mark.parametrize("grey", [0.0, 1.0])
def test_grey_takes_the_colour_of_a_colour_clip(grey: float) -> None:
    """Of no excerpt at 0, of every one at 1: blue, green and red are alike then."""
    config = replace(SMALL, grey=False)
    size = samples.margin_config(config).lip_size_px
    pictures = np.random.default_rng(1).integers(0, 255, (130, 3, size, size), dtype=np.uint8)
    clip = replace(_long_clip(1), pictures=pictures)
    batch = excerpts.draw_batch([clip], config, Draw(seed=3, excerpts=3, grey=grey), step=0)
    for excerpt in batch.lips:
        alike = np.corrcoef(excerpt[:, 0].flatten(), excerpt[:, 2].flatten())[0, 1]
        assert (alike > 0.9) == bool(grey)


def test_processes_share_the_batch_a_single_one_makes() -> None:
    """Every second excerpt each; nothing else differs."""
    clips = [_long_clip(seed) for seed in range(3)]
    whole_batch = excerpts.draw_batch(clips, SMALL, Draw(seed=3, excerpts=4), step=5)
    for rank in range(2):
        part = excerpts.draw_batch(
            clips, SMALL, Draw(seed=3, excerpts=4, rank=rank, world=2), step=5
        )
        assert (
            torch.equal(part.lips, whole_batch.lips[rank::2])
            and part.seeds == whole_batch.seeds[rank::2]
        )
        assert torch.equal(part.sound, whole_batch.sound[rank::2])


def test_threads_make_the_same_batches_in_order() -> None:
    """Workers change when a batch is made, not what is in it; their errors arrive."""

    def batch_of(step: int) -> tuple[int, int]:
        if step == 9:
            raise OSError("gone")
        return 2, step

    for workers in (0, 1, 3):
        batches = batches_ahead(batch_of, first_step=4, last_step=8, workers=workers)
        assert list(batches) == [(2, 4), (2, 5), (2, 6), (2, 7)]
        with pytest.raises(OSError, match="gone"):
            list(batches_ahead(batch_of, first_step=8, last_step=11, workers=workers))


@pytest.mark.parametrize("frames", [85, 96, 109])
def test_another_pace_keeps_lips_and_sound_together(frames: int) -> None:
    """A flash with a click stays one: slower, faster or as it was."""
    pictures = np.zeros((96, 1, 4, 4), np.uint8)
    sound = np.zeros(98 * SAMPLES_PER_FRAME, np.int16)
    pictures[60], sound[60 * SAMPLES_PER_FRAME : 60 * SAMPLES_PER_FRAME + 40] = 255, 20_000
    faster, faster_sound = augment.change_speed(pictures, sound, frames=frames)
    assert len(faster) == frames and len(faster_sound) == round(
        98 * SAMPLES_PER_FRAME * frames / 96
    )
    light = faster[:, 0, 0, 0].astype(float)
    flash = float(light @ np.arange(frames) / light.sum())
    click = float(np.abs(faster_sound.astype(float)).argmax() / SAMPLES_PER_FRAME)
    assert flash == pytest.approx(60 * frames / 96, abs=0.6)
    assert flash == pytest.approx(click, abs=0.6)


def test_long_clips_do_not_drown_short_ones() -> None:
    """A clip four times as long is drawn twice as often."""
    clips = [_long_clip(1, frames=400), _long_clip(2, frames=100)]
    assert excerpts.chances(clips) == pytest.approx([2 / 3, 1 / 3])


# The log.


@pytest.fixture
def no_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where it is not installed, which it need not be."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)


@pytest.mark.usefixtures("no_tensorboard")
def test_a_resumed_log_has_every_step_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows beyond the checkpoint and a line cut in half go; time goes on; the curves are drawn."""
    journal = Journal(tmp_path, step=0, seconds=0.0, total_steps=8)
    for step in range(1, 6):
        journal.write(step, {"loss": 1 / step, "left_out": list("abcde")})
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')
    del journal  # as where it was killed: its hold on the folder goes with it
    resumed = Journal(tmp_path, step=4, seconds=100.0, total_steps=8)
    for step in range(5, 9):
        resumed.write(step, {"loss": 2 / step})
    resumed.close()
    rows = read_rows(tmp_path / "train.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert [row["loss"] for row in rows[3:5]] == [1 / 4, 2 / 5]
    assert rows[4]["seconds"] >= 100 and resumed.seconds >= 100
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob("*.partial*"))
    output = capsys.readouterr().out.splitlines()
    assert output[0].startswith("step 1/8  loss 1  left_out a, b, c and 2 more  (")
    assert output[0].endswith(" min left)")
    assert rows[0]["left_out"] == list("abcde")


@pytest.mark.usefixtures("no_tensorboard")
def test_a_log_of_a_run_without_checkpoint_starts_again(tmp_path: Path) -> None:
    """Killed before the first checkpoint: the resumed run is at step 0, and so is its log."""
    Journal(tmp_path, step=0, seconds=0.0, total_steps=8).write(1, {"loss": 1.0})
    Journal(tmp_path, step=0, seconds=0.0, total_steps=8).close()
    assert read_rows(tmp_path / "train.jsonl") == []
    assert not (tmp_path / "curves.png").exists()


def test_one_of_five_people_is_kept_back_whatever_their_order_and_clips() -> None:
    """One at least, never all; another seed keeps others back."""
    names = [f"p{number}" for number in range(20)]
    kept = people.kept_back(names, share=0.2, seed=1)
    assert len(kept) == 4 and set(kept) < set(names) and kept == sorted(kept)
    assert people.kept_back([*names[::-1], *names[:5]], share=0.2, seed=1) == kept
    assert any(people.kept_back(names, share=0.2, seed=seed) != kept for seed in (2, 3))
    assert [len(people.kept_back("ab", share=share, seed=1)) for share in (0.01, 0.99)] == [1, 1]
    with pytest.raises(InputError, match="all clips of --data are of one"):
        people.kept_back("aa", share=0.2, seed=1)


def test_people_kept_back_stay_so_when_a_run_goes_on() -> None:
    """Nobody who has joined is, as long as one of them is there."""
    again = people.kept_back("abcdefghij", share=0.2, seed=1, earlier=["c", "x"])
    assert again == ["c"]
    for earlier in (["x"], ["a", "b"], None):  # nobody left, or nobody to train on
        assert len(people.kept_back("ab", share=0.5, seed=1, earlier=earlier)) == 1


@pytest.mark.usefixtures("no_tensorboard")
def test_losses_are_tables_and_other_people_lie_over_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file for each of the two losses; a figure of --val shares the panel of its training."""
    panels: list[dict[str, list[float]]] = []
    original = Figure.savefig

    def saved(figure: Figure, *rest: Any, **options: Any) -> None:
        panels.extend(
            {
                f"{axis.get_ylabel()} {line.get_label()}": np.asarray(line.get_ydata()).tolist()
                for line in axis.lines
            }
            for axis in figure.axes
        )
        original(figure, *rest, **options)

    monkeypatch.setattr(Figure, "savefig", saved)
    journal = Journal(tmp_path, step=0, seconds=0.0, total_steps=2)
    journal.write(1, {"loss": 0.75, "lr": 0.5})
    journal.write(2, {"loss": 0.25, "lr": 0.125})
    journal.draw()
    assert not (tmp_path / "val_loss.csv").exists()
    journal.write(2, {"unseen loss": 0.5, "unseen 5s": 0.9})
    panels.clear()
    journal.close()
    assert (tmp_path / "train_loss.csv").read_text() == "step,loss\n1,0.75\n2,0.25\n"
    assert (tmp_path / "val_loss.csv").read_text() == "step,loss\n2,0.5\n"
    loss, rate, pieces = panels
    assert loss["loss other people"] == [0.5] and loss["loss training"] == [0.75, 0.5]
    assert rate["lr training"] == [0.5, 0.3125] and len(rate) == 2
    assert pieces["unseen 5s training"] == [0.9]


def test_numbers_go_to_tensorboard_where_it_is(tmp_path: Path) -> None:
    """An event file is written beside the log."""
    pytest.importorskip("tensorboard")
    journal = Journal(tmp_path, step=0, seconds=0.0, total_steps=8)
    journal.write(1, {"loss": 1.0, "left_out": ["a"]})
    journal.close()
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"loss" in events.read_bytes() and b"left_out" not in events.read_bytes()
