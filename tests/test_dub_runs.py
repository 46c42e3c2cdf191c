"""run_wav2lip.py around its networks: sources, records, mistakes, kills."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import run_wav2lip
from models import voice, weights
from models.features import SAMPLE_RATE, SAMPLES_PER_FRAME
from models.files import partial_path
from models.wav2lip import Wav2Lip, Wav2LipConfig
from models.weights import WeightsFile
from pipeline import cli
from pipeline.dubbing import score as dub_score
from pipeline.dubbing.driving_audio import read_voice
from pipeline.dubbing.face_path import Pads
from pipeline.faces.tracks import smooth
from pipeline.media import decode
from pipeline.store.files import write_json
from pipeline.store.workspace import Workspace
from pipeline.sync.scorer import SyncScorer
from tests.conftest import REPO, Script, snapshot
from tests.dub_kit import (
    LEFT,
    RIGHT,
    SIZE,
    MouthShowsSound,
    beeping,
    frames_of,
    make_film,
    make_wav,
    measured,
    rate_of,
    run_dub,
    still_track,
    workspace_of,
)
from tests.synthetic import FLASHING, beeps, ffmpeg, rises

pytestmark = pytest.mark.usefixtures("stub_generator")


def test_the_record_says_what_was_done(tmp_path: Path) -> None:
    """Source, sounds, settings, generator, counts."""
    film = make_film(tmp_path / "film.mkv", seconds=1)
    work = workspace_of(tmp_path, film, still_track(LEFT, 5, 10))
    audio = make_wav(tmp_path / "a.wav", 0.2)
    done = run_dub(work, audio={None: audio}, pads=Pads(1, 2, 3, 4))
    record = json.loads(work.dubbed_record.read_text())
    assert (record["source"], record["frame_rate"], record["frames"]) == (str(film), 25, 25)
    assert record["regenerated"] == {"0": 10} and record["notices"] == done.notices == []
    assert record["generator"] == asdict(WeightsFile("stub", "0" * 64))
    assert record["settings"]["audio"] == {"all": str(audio)}
    assert record["settings"]["pads"] == {"top": 1, "bottom": 2, "left": 3, "right": 4}
    assert list(done.report()) == [
        "track 0: new mouth on 10 of 25 frames",
        f"25 frames in {work.dubbed_video}",
    ]
    assert not work.scratch.exists()


@pytest.mark.parametrize("change", ["moved", "changed", "same size"])
def test_where_the_source_is_gone_video_avi_is_dubbed(change: str, tmp_path: Path) -> None:
    """With a notice, unless --video names the source; another file of that name is not it."""
    film = make_film(tmp_path / "film.mkv", seconds=1, rate="30", sound=(0.2,))
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=25))
    codecs = ("-vf", "fps=25", "-c:v", "mpeg4", "-q:v", "2", "-c:a", "pcm_s16le")
    ffmpeg("-i", film, *codecs, work.video)
    content = film.read_bytes()
    if change == "moved":
        film.rename(tmp_path / "elsewhere.mkv")
    else:
        film.write_bytes(content + b"0" if change == "changed" else content[:-1] + b"0")
    done = run_dub(work)
    [notice] = done.notices
    assert "gone or changed" in notice and "video.avi is dubbed instead" in notice
    assert (done.frames, rate_of(done.video)) == (25, 25)
    if change == "moved":
        result = run_dub(work, video=tmp_path / "elsewhere.mkv")
        assert (result.frames, result.notices) == (30, [])


def test_scores_are_those_of_before_and_after(tmp_path: Path) -> None:
    """`--score` judges the original clip, where it still is, and the new mouths."""
    film = make_film(tmp_path / "film.mkv", seconds=1.4, sound=(0.2, 0.8))
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=35), still_track(RIGHT, frames=4))
    ffmpeg("-i", film, "-vf", "crop=80:80:4:4,scale=224:224", "-c:a", "pcm_s16le", work.crop(0))
    done = run_dub(work, score=True)
    assert done.scores["0"]["regenerated"].keys() == done.scores["0"]["original"].keys()
    assert done.scores["0"]["regenerated"] != done.scores["0"]["original"]
    assert done.scores["1"]["regenerated"] is done.scores["1"]["original"] is None
    assert json.loads(work.dubbed_record.read_text())["scores"] == done.scores
    message = "\n".join(done.report())
    assert message.count("LSE-D") == 2 and message.count("nothing to compare") == 2


@pytest.mark.parametrize(("fit", "frames"), [("video", 10), ("audio", 40), ("loop", 40)])
def test_output_is_as_long_as_the_longest_of_several_sounds(
    fit: str, frames: int, tmp_path: Path
) -> None:
    """0.8 and 1.6 s of sound for two faces of a film of 0.4 s."""
    film = make_film(tmp_path / "film.mkv", seconds=0.4)
    tracks = still_track(LEFT, frames=10), still_track(RIGHT, frames=10)
    work = workspace_of(tmp_path, film, *tracks)
    long, short = (make_wav(tmp_path / f"{s}.wav", 0.1, seconds=s) for s in (1.6, 0.8))
    assert run_dub(work, audio={0: long, 1: short}, fit=fit).frames == frames


@pytest.mark.parametrize("crop_scale", [0.4, 0.9])
def test_scored_crops_have_the_margin_of_the_workspace(
    crop_scale: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpu: torch.device
) -> None:
    """What is scored after is cut like what was scored before, and searched as far."""
    film = make_film(tmp_path / "film.mkv", seconds=0.4, sound=(0.1,))
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=10))
    record = work.read_record() or {}
    record["settings"]["crop_scale"] = crop_scale
    write_json(work.record, record)
    sides: set[float] = set()
    cut = dub_score.crop_face

    def noting(frame: np.ndarray, *, x: float, y: float, s: float, crop_scale: float) -> np.ndarray:
        sides.add(crop_scale)
        return cut(frame, x=x, y=y, s=s, crop_scale=crop_scale)

    monkeypatch.setattr(dub_score, "crop_face", noting)
    dub_score.score_dubbed(work, film, {0: read_voice(film)}, SyncScorer(device=cpu))
    assert sides == {crop_scale}


def test_all_tracks_are_scored_in_one_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpu: torch.device
) -> None:
    """Overlapping, late and short ones, as if each were alone; picture and sound are read once."""
    film = tmp_path / "film.mkv"
    moving = f"testsrc2=s={SIZE}:r=25:d=4,format=yuv420p"
    sound = ("-f", "lavfi", "-i", f"{beeping((0.4, 1.3, 2.9))}:d=4", "-c:a", "pcm_s16le")
    ffmpeg("-f", "lavfi", "-i", moving, *sound, "-c:v", "ffv1", film)
    tracks = [still_track(LEFT, 0, 70), still_track(RIGHT, 20, 60), still_track(LEFT, 75, 20)]
    tracks.append(still_track(RIGHT, 90, 4))
    work = workspace_of(tmp_path, film, *tracks)
    own, late = read_voice(film), read_voice(film, delay_s=0.2)
    voices = {3: own, 1: late, 0: own, 2: own}
    scorer = SyncScorer(device=cpu)
    alone = {
        str(number): dub_score.score_dubbed(work, film, {number: voice}, scorer)[str(number)]
        for number, voice in voices.items()
    }
    read: list[str] = []
    for name in ("read_frames", "read_audio"):
        monkeypatch.setattr(decode, name, _recording(read, name, getattr(decode, name)))
    assert dub_score.score_dubbed(work, film, voices, scorer) == alone
    assert sorted(read) == ["read_audio", "read_frames"]
    scores = [alone[str(number)]["regenerated"] for number in range(4)]
    assert scores[3] is None and len({score["lse_d"] for score in scores[:3]}) == 3


def _recording(notes: list[str], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*arguments: Any, **options: Any) -> Any:
        notes.append(name)
        return function(*arguments, **options)

    return wrapper


@pytest.mark.parametrize("rate", [25, 30])
@pytest.mark.parametrize("delay_s", [0.0, 0.2])
def test_scored_lips_and_sound_start_together(
    rate: int, delay_s: float, clips: Path, tmp_path: Path
) -> None:
    """A track that starts late, at any rate: flashes and beeps are apart by the offset."""
    source = next(clip for clip in FLASHING if clip.name == "thirty16.avi").make(clips)
    track = still_track((8, 2, 88, 56), round(0.4 * rate), 4 * rate)
    crops = dub_score._crops(source, {5: (track, smooth(track))}, rate, crop_scale=0.4)
    levels = np.array([crop.mean() for number, crop in crops if number == 5])
    samples = dub_score._sound(decode.read_audio(source), delay_s, track, rate)
    assert len(levels) == 100 and len(samples) == 100 * SAMPLES_PER_FRAME
    flashes, sounds = rises(np.arange(100) / 25, levels), beeps(samples, rate=SAMPLE_RATE)
    np.testing.assert_allclose(flashes, [0.6, 1.6, 2.6, 3.6], atol=0.021)
    np.testing.assert_allclose(sounds, np.array([0.6, 1.6, 2.6, 3.6]) + delay_s, atol=0.006)


# Mistakes and accidents.


@pytest.fixture
def mistaken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[Workspace, str]]:
    """Runs the script on a silent film with two tracks; gives the one sentence it ends with."""
    film = make_film(tmp_path / "film.mkv", seconds=0.4)
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=10), still_track(RIGHT, frames=10))
    make_wav(tmp_path / "a.wav", 0.1, seconds=0.4)

    def run(flags: str, *, reference: str = "film") -> tuple[Workspace, str]:
        where = ["--reference", reference, "--data_dir", str(work.data_dir), "--device", "cpu"]
        before = snapshot(work.data_dir)
        try:
            code = cli.run(
                lambda: run_wav2lip.main([*where, *flags.format(folder=tmp_path).split()])
            )
        except SystemExit as error:
            code = int(str(error.code))
        message = capsys.readouterr().err.strip().splitlines()
        assert code == 2 and "Traceback" not in "\n".join(message)
        assert snapshot(work.data_dir) == before
        return work, message[-1]

    return run


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("", "film.mkv has no sound; give some by --audio."),
        ("--audio {folder}/a.wav --tracks 2", "--tracks 2: film has tracks 0 to 1."),
        ("--audio {folder}/a.wav --tracks 0,1,0", "'0,1,0' names a track twice"),
        ("--audio {folder}/a.wav --tracks one", "'one' is not 'all', 'speaking' or numbers"),
        ("--audio 1={folder}/a.wav --tracks 0", "track 1 is not among --tracks"),
        ("--audio 0={folder}/a.wav --audio 0={folder}/b.wav", "track 0"),
        ("--audio {folder}/a.wav --audio {folder}/a.wav", "all tracks already have"),
        ("--audio 0={folder}/a.wav", "film.mkv has no sound; give some by --audio."),
        ("--audio {folder}/absent.wav", "absent.wav is not a file"),
        ("--audio 0={folder}/absent.wav", "absent.wav is not a file"),
        ("--audio {folder}/film.mkv", "film.mkv has no sound"),
        ("--audio {folder}/work/pywork/film/pipeline.json", "pipeline.json is not a"),
        ("--audio {folder}/a.wav --pads 0 -1 0 0", "Invalid --pads (-1)"),
        ("--audio {folder}/a.wav --videofile {folder}/a.wav", "a.wav is not what run_pipeline.py"),
        ("--audio {folder}/a.wav --pads 0 999 0 0", "--pads reach beyond a picture of 200x92"),
        ("--audio {folder}/a.wav --batch_size 0", "Invalid --batch_size (0)"),
        ("--audio {folder}/a.wav --keep_background nan", "Invalid --keep_background (nan)"),
        ("--audio {folder}/a.wav --tracks speaking", "offsets.json is not there; run run_syncnet"),
    ],
)
def test_mistakes_are_one_sentence(
    mistaken: Callable[..., tuple[Workspace, str]], flags: str, words: str
) -> None:
    """Exit code 2, nothing written."""
    _, message = mistaken(flags)
    assert words in message and message.startswith(
        ("error: ", "run_wav2lip", "__main__", "pytest", "-c")
    )


def test_a_workspace_that_is_not_there(mistaken: Callable[..., tuple[Workspace, str]]) -> None:
    """The sentence says what to run."""
    _, message = mistaken("--audio {folder}/a.wav", reference="other")
    assert "run run_pipeline.py --reference other first" in message


def test_nobody_speaks(mistaken: Callable[..., tuple[Workspace, str]]) -> None:
    """No track speaks: an error, not the one for scores of other tracks."""
    work = Workspace(mistaken("")[0].data_dir, "film")
    measured(work, (0.0, 1.0, False), (0.0, 1.0, False))
    work.write_distances([np.ones((5, 31), np.float32)] * 2)
    assert "No track of film speaks" in mistaken("--audio {folder}/a.wav --tracks speaking")[1]
    work.write_distances([np.ones((5, 31), np.float32)])
    assert "run run_syncnet.py again" in mistaken("--audio {folder}/a.wav --tracks speaking")[1]


def test_tracks_of_nothing(mistaken: Callable[..., tuple[Workspace, str]]) -> None:
    """A video without faces has nothing to choose from."""
    work, _ = mistaken("")
    work.write_tracks([], [])
    assert "holds no track" in mistaken("--audio {folder}/a.wav")[1]


def test_a_failing_run_leaves_the_former_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any failure the former result is there and no unfinished file."""
    work = workspace_of(tmp_path, make_film(tmp_path / "film.mkv", sound=(0.2,)), still_track(LEFT))
    run_dub(work)
    before = snapshot(work.data_dir)
    calls = iter(range(100))

    def failing(self: nn.Module, mels: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return faces[:, 3:]

    monkeypatch.setattr(MouthShowsSound, "forward", failing)
    with pytest.raises(KeyboardInterrupt):
        run_dub(work)
    assert snapshot(work.data_dir) == before


def _random_generator(path: Path) -> Path:
    torch.manual_seed(0)
    config = Wav2LipConfig(0.05)
    weights.write_own(Wav2Lip(config), path, config=config)
    return path


def test_the_command(tmp_path: Path, script: Script) -> None:
    """As a user types it, with weights from a file."""
    film = make_film(tmp_path / "film.mkv", seconds=0.6, rate="30000/1001")
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=15), still_track(RIGHT, frames=15))
    audio = make_wav(tmp_path / "0=a.wav", 0.2, seconds=1)
    done = script(
        *("run_wav2lip.py", "--reference", "film", "--data_dir", work.data_dir),
        *("--audio", audio, "--tracks", "1", "--fit", "loop", "--no-silence_gate"),
        *("--checkpoint", _random_generator(tmp_path / "own.safetensors"), "--device", "cpu"),
    )
    assert done.returncode == 0, done.stderr
    assert f"30 frames in {work.dubbed_video}" in done.stdout
    record = json.loads(work.dubbed_record.read_text())
    assert record["generator"]["file"] == "own.safetensors" and record["regenerated"].keys() == {
        "1"
    }
    assert record["settings"]["silence_gate"] is False and len(frames_of(work.dubbed_video)) == 30


@pytest.mark.parametrize("separated", [True, False])
def test_a_generator_of_separated_voices_hears_nothing_else(
    separated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights say so; nobody has to know. What is heard in the output is the whole sound."""
    asked: list[int] = []

    def voiceless(samples: np.ndarray) -> np.ndarray:
        asked.append(len(samples))
        return np.zeros_like(samples)

    monkeypatch.setattr(voice, "separate_voice", voiceless)
    config = Wav2LipConfig(separate_voice=separated)
    monkeypatch.setattr(MouthShowsSound, "config", config)
    film = make_film(tmp_path / "film.mkv", seconds=1)
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=25))
    audio = make_wav(tmp_path / "a.wav", 0.2)
    done = run_dub(work, audio={None: audio}, silence_gate=False)
    assert len(asked) == separated
    mouths = [float(frame[60:76, 38:50].mean()) for frame in frames_of(done.video)]
    assert (max(mouths) - min(mouths) > 50) != separated
    assert np.abs(decode.read_audio(done.video)).max() > 1000


@pytest.mark.slow
def test_a_killed_run_leaves_the_former_result_and_is_run_again(tmp_path: Path) -> None:
    """SIGKILL while frames are written; the next run clears what is left and succeeds."""
    work = workspace_of(
        tmp_path,
        make_film(tmp_path / "film.mkv", seconds=60, sound=(0.2,)),
        still_track(LEFT, frames=1500),
    )
    work.dubbed_video.write_bytes(b"former")
    generator = _random_generator(tmp_path / "own.safetensors")
    command = [
        *(sys.executable, str(REPO / "run_wav2lip.py"), "--reference", "film", "--device", "cpu"),
        *(
            "--data_dir",
            str(work.data_dir),
            "--checkpoint",
            str(generator),
            "--batch_size",
            "2",
        ),
    ]
    process = subprocess.Popen(command)
    staging = Workspace(work.data_dir, work.reference, staged=True)
    while not partial_path(staging.dubbed_video).exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert work.dubbed_video.read_bytes() == b"former" and not work.dubbed_record.exists()
    assert run_dub(work).frames == 1500
    assert [file.name for file in work.folder("pyavi").iterdir()] == ["video_wav2lip.mp4"]
    assert not work.scratch.exists()
