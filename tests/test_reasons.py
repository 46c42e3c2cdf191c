"""Why there is no offset: the limits of each reason, their order, and the traits of sound."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.verdict import reasons, sentences
from pipeline.verdict.reasons import Signs
from pipeline.verdict.traits import SoundTraits, sound_traits
from tests.verdict_kit import SPEECH

GOOD = Signs(seconds=12.0, sound=SPEECH, lip_variation=0.3, face_px=120.0, cancels=False)


def _code(signs: Signs) -> str:
    return reasons.of_track(0, signs).code


def test_what_just_suffices_is_in_nobodys_way() -> None:
    """Five seconds, -60 dB, the least rhythm, lips that hardly move, and a face of 50 pixels."""
    just = Signs(5.0, SoundTraits(-60.0, 0.17), lip_variation=0.07, face_px=50.0, cancels=False)
    assert _code(just) == "no_speech_on_screen"


def test_the_first_thing_in_the_way_is_named() -> None:
    """Everything is; one thing after the other is mended."""
    signs = Signs(4.0, SoundTraits(-61.0, 0.1), lip_variation=0.01, face_px=10.0, cancels=True)
    codes = [_code(signs)]
    for mended in (
        {"sound": SoundTraits(-12.0, 0.1)},
        {"cancels": False},
        {"face_px": 120.0},
        {"lip_variation": 0.3},
        {"sound": SPEECH},
        {"seconds": 12.0},
    ):
        signs = replace(signs, **mended)
        codes.append(_code(signs))
    assert codes == [
        "silent_sound",
        "cancelled_sound",
        "face_too_small",
        "mouth_hidden",
        "music_only",
        "too_short",
        "no_speech_on_screen",
    ]


def test_a_video_says_what_most_tracks_say() -> None:
    """Not what the first of them says; its sentence says that, too."""
    short = reasons.of_track(0, replace(GOOD, seconds=3.0))
    music = [reasons.of_track(n, replace(GOOD, sound=SoundTraits(-12.0, 0.1))) for n in (1, 2)]
    of_video = reasons.of_video([short, *music])
    assert (of_video.track, of_video.code) == (None, "music_only")
    sentence = sentences.of("cannot_be_told", (), None, [short, *music, of_video])
    assert sentence == (
        "Whether sound and picture are together cannot be told: the sound has no rhythm of "
        "speech: it is music, noise or hum."
    )


def test_of_as_many_the_reason_is_named_that_is_nearer_to_the_sound() -> None:
    """In the order in which a track's are looked for, but too little sound is the last but one."""
    in_the_way: tuple[dict[str, Any], ...] = (
        {"sound": SoundTraits(-61.0, 0.5)},
        {"cancels": True},
        {"face_px": 10.0},
        {"lip_variation": 0.01},
        {"sound": SoundTraits(-12.0, 0.1)},
        {"seconds": 3.0},
        {"seconds": 12.0},
    )
    in_order = [reasons.of_track(n, replace(GOOD, **signs)) for n, signs in enumerate(in_the_way)]
    for first, second in itertools.pairwise(in_order):
        assert reasons.of_video([first, second]).code == first.code
        assert reasons.of_video([second, first]).code == first.code


def test_silence_is_mended_by_another_stream_and_cancelling_by_another_file() -> None:
    """What to do is as told of the flag that exists."""
    silent = reasons.of_track(0, replace(GOOD, seconds=0.0, sound=SoundTraits(-200.0, None)))
    assert "another sound stream with --audio_stream" in silent.advice
    cancelled = reasons.of_track(0, replace(GOOD, cancels=True))
    assert "only the channel that holds the speech" in cancelled.advice


def _swelling(times_a_second: float) -> np.ndarray:
    """Six seconds of noise as loud and soft by turns."""
    times_s = np.arange(16_000 * 6) / 16_000
    noise = np.random.default_rng(3).normal(0, 2000, len(times_s))
    return noise * (1 + 0.8 * np.sin(2 * np.pi * times_a_second * times_s))


@pytest.mark.parametrize(("times_a_second", "speech"), [(0.5, False), (4, True), (25, False)])
def test_rhythm_is_that_of_syllables(times_a_second: float, speech: bool) -> None:
    """Slower is a tide, faster is roughness."""
    rhythm = sound_traits(_swelling(times_a_second).astype(np.int16)).rhythm
    assert rhythm is not None and (rhythm > 2 * reasons.LEAST_RHYTHM) == speech
    assert speech or rhythm < reasons.LEAST_RHYTHM


def test_neither_loudness_nor_hum_changes_the_rhythm() -> None:
    """Hum of the mains as loud as the speech is below it."""
    swelling = _swelling(4)
    hum = 5000 * np.sin(2 * np.pi * 50 * np.arange(len(swelling)) / 16_000)
    rhythm = sound_traits(swelling.astype(np.int16)).rhythm
    for sound in (swelling / 8, swelling + hum):
        assert sound_traits(sound.astype(np.int16)).rhythm == pytest.approx(rhythm, rel=0.1)
