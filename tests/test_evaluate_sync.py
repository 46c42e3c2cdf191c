"""What a SyncNet is worth: the measure on known answers, and what a network says of clips."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.features import FRAME_RATE, SAMPLES_PER_FRAME
from models.syncnet import SMALL, SyncNet
from pipeline.sync import Sync
from training import agreement, evaluate_sync, judging
from training.agreement import Agreement, Piece, can_be_judged, reliable_threshold
from training.distributed import Processes
from training.samples import Clip

TINY = replace(
    SMALL,
    lip_widths=(4, 4, 8, 8, 8, 16),
    audio_widths=(4, 4, 8, 8, 8, 16),
    embedding_size=16,
)
Answer = Callable[[Clip, int, float], float]


def _clip(name: str, *, seconds: int = 60, seed: int = 0) -> Clip:
    """A clip of grey pictures and loud sound."""
    rng = np.random.default_rng(seed)
    frames = seconds * FRAME_RATE
    size = SMALL.lip_size_px
    pictures = rng.integers(0, 255, (1, 1, size, size), dtype=np.uint8).repeat(frames, axis=0)
    sound = rng.integers(-9000, 9000, frames * SAMPLES_PER_FRAME, dtype=np.int16)
    return Clip(name, pictures, sound)


def _scorer(answer: Answer) -> Callable[..., Sync]:
    """In place of a network: `answer` gives the offset in ms for clip, first frame and lead."""

    def score(
        _model: object, clip: Clip, *, first: int, lead_ms: float = 0.0, **_rest: object
    ) -> Sync:
        found_ms = answer(clip, first, lead_ms)
        frames = round(found_ms / 40)
        sure = 4.0 + first % 7
        edge = abs(frames) == 15
        return Sync(frames, found_ms, 5.0, sure, 1.0, np.zeros(1), edge, sure > 5, None)

    return score


def _agreement(
    answer: Answer, clips: list[Clip], cpu: torch.device, patch: pytest.MonkeyPatch
) -> Agreement:
    patch.setattr(agreement, "score_piece", _scorer(answer))
    return agreement.agreement(SyncNet(SMALL), clips, Processes(0, 1, cpu), seed=1)


# Sync accuracy.


def test_a_perfect_network_agrees_whatever_the_native_lag(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every piece of every length; a lag of -4 frames in one of two videos is no mistake."""
    clips = [_clip("val/one/00000"), _clip("val/two/00000")]
    found = _agreement(
        lambda clip, _first, lead_ms: lead_ms - 160 * (clip is clips[1]), clips, cpu, monkeypatch
    )
    summary = found.summary()
    assert [summary[f"{length}s"] for length in (2, 5, 10)] == [1.0, 1.0, 1.0]
    assert [summary[f"{length}s_pieces"] for length in (2, 5, 10)] == [60, 24, 12]
    assert 0 < summary["5s_reliable"] < 1 and summary["5s_reliable_right"] == 1.0
    assert {name: row["offset"] for name, row in found.by_clip().items()} == {
        "val/one": 0.0,
        "val/two": -4.0,
    }
    assert found.summary(without=frozenset({"val/two"}))["5s_pieces"] == 12


def test_always_saying_the_same_is_hardly_better_than_chance(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The known shifts spread over 17 frames: an answer that ignores them agrees by chance."""
    summary = _agreement(
        lambda *_: 0.0, [_clip("val/one/00000", seconds=200)], cpu, monkeypatch
    ).summary()
    assert 0.08 < summary["2s"] < 0.3


def test_pieces_that_overlap_are_not_asked(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A piece does not testify for itself: of four pieces, three that disagree outvote it."""

    def answer(_clip: Clip, first: int, lead_ms: float) -> float:
        return lead_ms + (200 if first == 0 else 0)

    found = _agreement(answer, [_clip("val/one/00000", seconds=20)], cpu, monkeypatch)
    assert {p.first: ok for p, ok in found.judged if p.length_s == 5} == {
        0: False,
        125: True,
        250: True,
        375: True,
    }
    assert not any(p.length_s == 10 for p, _ in found.judged)  # two pieces of 5 s are left: too few


def test_short_videos_cannot_be_judged(cpu: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four pieces of 5 s, in one track or in several of a video; otherwise there is no figure."""
    assert can_be_judged([_clip("val/one/00000", seconds=20)])
    assert can_be_judged([_clip(f"val/one/{track:05d}", seconds=6) for track in range(4)])
    apart = [_clip(f"val/{reference}/00000", seconds=6) for reference in "abcd"]
    assert not can_be_judged(apart) and not can_be_judged([])
    summary = _agreement(lambda *_: 0.0, apart, cpu, monkeypatch).summary()
    assert summary["2s"] is None and summary["5s_pieces"] == 0 and summary["5s_reliable"] is None


def test_a_tail_without_pieces_of_5_s_has_no_median(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """18 s: the last 2 s have three others to agree with, no piece of 5 s has."""
    found = _agreement(
        lambda _clip, _first, lead_ms: lead_ms,
        [_clip("val/one/00000", seconds=18)],
        cpu,
        monkeypatch,
    )
    (row,) = found.by_clip().values()
    assert row["2s"] == 1.0 and row["offset"] is None and row["confidence"] is None


def _margins(values: list[float], *, right_above: float) -> list[tuple[Piece, bool]]:
    return [
        (Piece("c", "t", 5, 0, 0, 2 * value, value, False), value > right_above) for value in values
    ]


def test_the_threshold_is_right_99_times_in_100() -> None:
    """It lies just below the right ones, as far as one wrong in a hundred reaches."""
    margins = np.arange(0.5, 9, 0.01).tolist()
    judged = _margins(margins, right_above=2)
    least = reliable_threshold(Agreement(judged), [])
    assert least is not None
    assert least.margin == pytest.approx(1.93, abs=0.03)
    assert least.confidence == pytest.approx(2 * least.margin)
    assert reliable_threshold(Agreement([(piece, False) for piece, _ in judged]), []) is None
    others = [
        (Piece("c", "t", 10, 0, 0, 9, 9, False), False),
        (Piece("c", "t", 5, 0, 15, 9, 9, False, at_search_edge=True), False),
    ]
    assert reliable_threshold(Agreement([*judged, *others]), []) == least


def test_strangers_raise_the_threshold() -> None:
    """No more than two in a hundred pieces with somebody else's sound may pass."""
    judged = _margins(np.arange(0.5, 9, 0.01).tolist(), right_above=2)
    strangers = [0.0] * 97 + [4.0, 5.0, 6.0]
    least = reliable_threshold(Agreement(judged), strangers)
    assert least is not None and 4 < least.margin < 4.02
    assert reliable_threshold(Agreement(judged), [99.0]) is None


# What a network in training says of the clips.


def _offsets_of(values_ms: dict[str, list[float]]) -> Answer:
    return lambda clip, first, _lead_ms: values_ms[clip.name][first // 125]


def test_clips_are_judged_by_what_their_pieces_agree_on(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lag most pieces agree on is taken out; scattered pieces and large lags are left out."""
    said = {
        "in/lag/00000": [80.0, 90.0, 70.0, 80.0, -500.0],
        "in/voice_over/00000": [80.0, -300.0, 600.0, 240.0, -120.0],
        "in/far/00000": [-440.0] * 5,
    }
    monkeypatch.setattr(judging, "score_piece", _scorer(_offsets_of(said)))
    clips = [_clip(name, seconds=25) for name in said]
    model, group = SyncNet(SMALL), Processes(0, 1, cpu)
    kept, dropped = judging.refine(model, clips, group)
    assert [(clip.name, clip.offset_ms) for clip in kept] == [("in/lag/00000", 80.0)]
    assert dropped == ["in/voice_over/00000", "in/far/00000"]
    assert judging.refine(model, clips[1:], group) == (clips[1:], [])


# The table of the model card.


@pytest.mark.parametrize(
    ("positive", "negative", "area"),
    [
        ([2.0, 3.0], [0.0, 1.0], 1.0),
        ([0.0, 1.0], [2.0, 3.0], 0.0),
        ([1.0, 1.0], [1.0], 0.5),
        ([1.0, 3.0], [2.0], 0.5),
        ([1.0, 2.0, 3.0], [1.5, 0.5], 5 / 6),
    ],
)
def test_area_under_roc(positive: list[float], negative: list[float], area: float) -> None:
    """The chance that a positive is above a negative; ties count half."""
    found = evaluate_sync.area_under_roc(np.array(positive), np.array(negative))
    assert found == pytest.approx(area)


def test_audible_frames_are_those_near_the_loudest() -> None:
    """Down to 35 dB below the loudest frame; digital silence never."""
    levels = np.array([10_000, 10_000 * 10 ** (-30 / 20), 10_000 * 10 ** (-40 / 20), 0])
    sound = np.repeat(levels, SAMPLES_PER_FRAME).astype(np.int16)
    assert evaluate_sync.audible(sound).tolist() == [True, True, False, False]
    assert not evaluate_sync.audible(np.zeros_like(sound)).any()


def test_pairs_never_take_sound_of_the_same_video() -> None:
    """Two tracks of a video hear the same voice; every piece gets another video's sound."""
    clips = [_clip(name, seconds=11) for name in ("v/a/00000", "v/a/00001", "v/b/00000")]
    clips.append(_clip("v/short/00000", seconds=3))
    found = evaluate_sync.pairs(clips, frames=125, seed=1)
    assert [(pair.clip.name, pair.first) for pair in found] == [
        (name, first) for name in ("v/a/00000", "v/a/00001", "v/b/00000") for first in (0, 125)
    ]
    for pair in found:
        assert pair.stranger.reference != pair.clip.reference
        mixed = pair.with_strange_sound(125)
        assert mixed.frames == 125 and len(mixed.samples) == 125 * SAMPLES_PER_FRAME
        start = pair.stranger_first * SAMPLES_PER_FRAME
        stretch = pair.stranger.samples[start : start + 125 * SAMPLES_PER_FRAME]
        assert np.array_equal(mixed.samples, stretch)
    assert evaluate_sync.pairs(clips[:2], frames=125, seed=1) == []


def test_the_whole_table_of_an_untrained_network(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every figure is there, on two videos of 5 s, for a network that knows nothing."""
    torch.manual_seed(1)
    monkeypatch.setattr(evaluate_sync, "FINE_LENGTH_S", 5)
    clips = [_clip(f"val/{name}/00000", seconds=5, seed=seed) for seed, name in enumerate("ab")]
    found = evaluate_sync.figures(
        SyncNet(TINY).eval(), clips, without=frozenset(), seed=1, device=cpu
    )
    table = found["speaker_on_screen"]
    assert table["foreign_pieces"] == 2 and table["foreign_called_reliable"] == 0.0
    assert table["speaking_frames"] == 500 and 0.3 < table["speaking_auc"] < 0.7
    assert table["fine_pieces"] == 0 and table["fine_error_ms"] is None
    assert found["all"]["5s"] is None and found["clips"] == {} and found["left_out"] == []


def test_silence_has_no_speaking_figure(cpu: torch.device) -> None:
    """Two silent videos: nothing to tell apart, and no division by it."""
    clips = [_clip(f"val/{name}/00000", seconds=10) for name in "ab"]
    mute = [Clip(clip.name, clip.pictures, np.zeros_like(clip.samples)) for clip in clips]
    found = evaluate_sync.speaking_auc(SyncNet(TINY).eval(), mute, seed=1, device=cpu)
    assert found == {"speaking_frames": 0, "speaking_auc": None}


def test_the_command_prints_and_writes_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights and figures on the screen and in --json; a clip that is left out is named."""
    loaded = evaluate_sync.samples.Loaded([], {"val/b/00000": "no sound"})
    monkeypatch.setattr(evaluate_sync.samples, "load_clips", lambda *_, **__: loaded)
    monkeypatch.setattr(evaluate_sync.samples, "clip_files", lambda _: [])
    file = tmp_path / "figures.json"
    assert evaluate_sync.main(["--data", "x", "--device", "cpu", "--json", str(file)]) == 0
    shown = capsys.readouterr()
    assert '"weights": "syncnet_small.safetensors"' in shown.out and "val/b/00000" in shown.err
    assert '"speaker_on_screen"' in file.read_text()
