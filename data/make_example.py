"""Makes data/example.mp4: two shots of drawn people with known lips and sound.

    python data/make_example.py [--output data/example.mp4]

Shot one shows one person whose sound comes 120 ms before the picture. Shot two shows two persons,
of whom one speaks, in time, and the other listens. espeak-ng speaks, training/drawn/heads.py draws.
Tests import the constants below as the truth.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # it also runs as a plain script

from models.features import FRAME_RATE, SAMPLE_RATE, SAMPLES_PER_FRAME
from pipeline.media.process import find_ffmpeg
from training.drawn.heads import DrawnHead, Pose, draw_head, idle_motion, mouth_motion

# The truth about the example. Shot one is frames 0 .. SHOT_ONE_FRAMES - 1, shot two the rest.
WIDTH_PX, HEIGHT_PX = 640, 360
SHOT_ONE_FRAMES = 300
SHOT_TWO_FRAMES = 300
SHOT_ONE_LEAD_FRAMES = 3  # the mouth of frame f belongs to the sound of frame f - 3
SHOT_TWO_LEAD_FRAMES = 0
SPEAKER_SIDE = "left"  # who speaks in shot two
# Middles of the faces at rest (x, y) and their height from hairline to chin, all in pixels.
SHOT_ONE_FACE = (318.0, 165.0, 150.0)
SHOT_TWO_LEFT_FACE = (176.0, 172.0, 138.0)
SHOT_TWO_RIGHT_FACE = (470.0, 166.0, 132.0)

SPEECH_RATE_HZ = 22_050  # what espeak-ng writes
SOUND_RATE_HZ = 44_100
SPEECH_START_S = 0.24
SPEECH_END_S = 11.5  # shot one must fall silent before the cut: its picture runs behind its sound
PAUSE_S = 0.2
SHOT_ONE_VOICE = ("en-us+m3", 158)  # voice, words per minute
SHOT_TWO_VOICE = ("en-gb+f2", 160)
SHOT_ONE_TEXT = (
    "My lips move a moment after you hear my voice.",
    "Maybe you already noticed that something is wrong with this picture.",
    "A good program should measure how far apart they are, and move them back together.",
)
SHOT_TWO_TEXT = (
    "Now there are two of us, but only one of us is speaking.",
    "Every time I open my mouth, you hear the sound that belongs to it.",
    "My friend over there is happy to listen, and keeps his mouth shut.",
)
SEED = 20

_ANNA = DrawnHead(
    skin=(165, 196, 236),
    hair=(34, 52, 92),
    iris=(60, 84, 60),
    lips=(110, 100, 196),
    cloth=(60, 62, 178),
    under_cloth=(220, 220, 220),
    collar=1,
    face_width=0.745,
    jaw=0.82,
    chin=0.32,
    bald=False,
    hair_length=0.72,
    hair_volume=0.035,
    fringe=0.03,
    hair_part=0.35,
    curly=False,
    beard=0.0,
    moustache=0.0,
    brow=0.85,
    brow_arch=0.8,
    eye_size=1.12,
    eye_gap=1.0,
    nose=0.92,
    mouth_width=1.05,
    lip=1.2,
    glasses=0,
    light=-0.5,
    contrast=0.9,
    seed=11,
)
_BEN = DrawnHead(
    skin=(92, 132, 190),
    hair=(24, 26, 30),
    iris=(36, 48, 70),
    lips=(82, 88, 158),
    cloth=(120, 84, 40),
    under_cloth=(236, 232, 226),
    collar=2,
    face_width=0.765,
    jaw=0.88,
    chin=0.38,
    bald=False,
    hair_length=0.0,
    hair_volume=0.02,
    fringe=0.0,
    hair_part=-0.4,
    curly=False,
    beard=0.0,
    moustache=0.0,
    brow=1.25,
    brow_arch=0.3,
    eye_size=1.02,
    eye_gap=1.0,
    nose=1.08,
    mouth_width=1.08,
    lip=1.15,
    glasses=0,
    light=0.6,
    contrast=0.85,
    seed=4,
)
_CARL = DrawnHead(
    skin=(182, 206, 240),
    hair=(96, 104, 118),
    iris=(120, 100, 70),
    lips=(126, 118, 186),
    cloth=(150, 190, 205),
    under_cloth=(70, 60, 50),
    collar=3,
    face_width=0.775,
    jaw=0.9,
    chin=0.42,
    bald=False,
    hair_length=-0.05,
    hair_volume=0.05,
    fringe=0.02,
    hair_part=0.2,
    curly=False,
    beard=0.6,
    moustache=0.6,
    brow=1.1,
    brow_arch=0.4,
    eye_size=0.98,
    eye_gap=1.02,
    nose=1.1,
    mouth_width=1.0,
    lip=0.85,
    glasses=1,
    light=-0.4,
    contrast=0.9,
    seed=8,
)


def speak(sentences: tuple[str, ...], *, voice: str, words_per_minute: int) -> NDArray[np.float64]:
    """Let espeak-ng read sentences aloud, one after the other with pauses.

    Args:
        sentences: what to say.
        voice: espeak-ng's name of the voice, as en-us+m3.
        words_per_minute: how fast.

    Returns:
        Mono sound at SPEECH_RATE_HZ within -0.7..0.7, exactly as long as a shot.

    Raises:
        RuntimeError: espeak-ng is missing, or what it says does not fit the shot.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise RuntimeError("espeak-ng is not installed: apt-get install espeak-ng")
    shot = np.zeros(SHOT_ONE_FRAMES * SPEECH_RATE_HZ // FRAME_RATE)
    at = round(SPEECH_START_S * SPEECH_RATE_HZ)
    with tempfile.TemporaryDirectory() as folder:
        spoken = Path(folder) / "spoken.wav"
        for sentence in sentences:
            subprocess.run(
                [program, "-v", voice, "-s", str(words_per_minute), "-w", str(spoken), sentence],
                check=True,
            )
            with wave.open(str(spoken)) as file:
                if file.getframerate() != SPEECH_RATE_HZ:
                    raise RuntimeError(f"espeak-ng wrote {file.getframerate()} Hz")
                sound = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768.0
            loud = np.flatnonzero(np.abs(sound) > 0.003)
            sound = sound[loud[0] : loud[-1] + 1]
            if at + len(sound) > SPEECH_END_S * SPEECH_RATE_HZ:
                over_s = (at + len(sound)) / SPEECH_RATE_HZ - SPEECH_END_S
                raise RuntimeError(f"the speech of {voice} ends {over_s:.2f} s too late")
            shot[at : at + len(sound)] = sound
            at += len(sound) + round(PAUSE_S * SPEECH_RATE_HZ)
    return shot * (0.7 / np.abs(shot).max())


def drawn_mouth(
    speech: NDArray[np.float64], *, frames: int, lead_frames: int
) -> NDArray[np.float32]:
    """Derive the mouth of each frame, from sound that runs ahead of the picture.

    Args:
        speech: mono sound of the shot at SPEECH_RATE_HZ.
        frames: how many frames of FRAME_RATE.
        lead_frames: frame f shows the sound of frame f - lead_frames.

    Returns:
        float32 (frames, 2): opening and spread, see training.drawn.heads.mouth_motion.
    """
    samples = resample_poly(speech, SAMPLE_RATE // 50, SPEECH_RATE_HZ // 50)  # as whole numbers
    # The sample was drawn for the middle of the 40 ms that a frame is shown, half a frame after the
    # instant that counts (docs/clock.md): its sound leads by 20 ms less than `lead_frames`.
    motion = mouth_motion(samples[SAMPLES_PER_FRAME // 2 :], frames=frames)
    silent = np.tile(np.array([[0.0, 0.5]], np.float32), (lead_frames, 1))
    return np.concatenate([silent, motion])[:frames]


def _background(
    rng: np.random.Generator,
    *,
    wall: tuple[int, int, int],
    dark: tuple[int, int, int],
    with_shelves: bool,
) -> NDArray[np.uint8]:
    """A backdrop out of focus: a wall with shelves of books, or with framed pictures and a lamp."""
    rise = np.linspace(1.12, 0.75, HEIGHT_PX)[:, None, None]
    across = np.linspace(1.05, 0.85, WIDTH_PX)[None, :, None]
    image: NDArray[np.uint8] = np.clip(rise * across * np.array(wall), 0, 255).astype(np.uint8)
    if with_shelves:
        for top in (70, 165, 260):
            x = 10
            while x < WIDTH_PX - 30:
                wide, high = int(rng.integers(9, 22)), int(rng.integers(45, 72))
                tone = (np.array(wall) * rng.uniform(0.45, 1.0, 3)).tolist()
                if rng.random() < 0.85:
                    cv2.rectangle(image, (x, top - high), (x + wide, top), tone, -1)
                x += wide + 2
            cv2.rectangle(image, (0, top), (WIDTH_PX, top + 9), dark, -1)
        cv2.GaussianBlur(image, (0, 0), 3.0, dst=image)
        return image
    for x, y, wide, high in ((30, 20, 90, 60), (275, 40, 80, 110), (560, 30, 60, 80)):
        cv2.rectangle(image, (x, y), (x + wide, y + high), dark, -1)
        cv2.rectangle(image, (x + 7, y + 7), (x + wide - 7, y + high - 7), (190, 200, 190), -1)
        cv2.circle(image, (x + wide // 2, y + high // 2), wide // 5, wall, -1)
    cv2.circle(image, (318, 290), 45, (170, 215, 235), -1)
    cv2.GaussianBlur(image, (0, 0), 4.0, dst=image)
    return image


def _nods(frames: int) -> NDArray[np.float64]:
    """How far (face heights) a listener's head is lowered: two short nods now and then."""
    seconds = np.arange(frames) / FRAME_RATE
    lowered = np.zeros(frames)
    for start_s in (2.3, 5.6, 9.4):
        into_s = np.clip(seconds - start_s, 0, 0.9)
        lowered += 0.035 * np.sin(2 * np.pi * into_s / 0.9) ** 2
    return lowered


def _pose(
    pose_at_rest: tuple[float, float, float],
    idle: NDArray[np.float32],
    mouth: tuple[float, float],
    *,
    smile: float,
    nod: float = 0.0,
) -> Pose:
    x, y, height = pose_at_rest
    dx, dy, tilt_deg, turn, blink = (float(value) for value in idle)
    return Pose(
        x + dx * height,
        y + (dy + nod) * height,
        height,
        tilt_deg=tilt_deg,
        turn=turn,
        blink=blink,
        mouth_open=mouth[0],
        mouth_wide=mouth[1],
        smile=smile,
    )


def shot_one(mouth: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
    """Draw the first shot: one person. mouth is (frames, 2); pictures are uint8 BGR."""
    rng = np.random.default_rng(SEED)
    background = _background(rng, wall=(120, 175, 212), dark=(50, 80, 120), with_shelves=True)
    idle, images = idle_motion(rng, frames=len(mouth)), []
    for moved, (opened, wide) in zip(idle, mouth, strict=True):
        image = background.copy()
        draw_head(
            image, _BEN, _pose(SHOT_ONE_FACE, moved, (float(opened), float(wide)), smile=0.15)
        )
        images.append(image)
    return images


def shot_two(mouth: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
    """Draw the second shot: the speaker and a listener. mouth is the speaker's, (frames, 2)."""
    rng = np.random.default_rng(SEED + 1)
    background = _background(rng, wall=(128, 92, 48), dark=(58, 40, 22), with_shelves=False)
    speaker, listener = (idle_motion(rng, frames=len(mouth)) for _ in range(2))
    speaker_pose, listener_pose = SHOT_TWO_LEFT_FACE, SHOT_TWO_RIGHT_FACE
    if SPEAKER_SIDE == "right":
        speaker_pose, listener_pose = listener_pose, speaker_pose
    images, nods = [], _nods(len(mouth))
    for index, (opened, wide) in enumerate(mouth.tolist()):
        image = background.copy()
        smile = 0.45 + 0.25 * float(np.sin(index / FRAME_RATE))
        draw_head(
            image,
            _CARL,
            _pose(listener_pose, listener[index], (0.0, 0.5), smile=smile, nod=float(nods[index])),
        )
        draw_head(image, _ANNA, _pose(speaker_pose, speaker[index], (opened, wide), smile=0.2))
        images.append(image)
    return images


def encode(images: list[NDArray[np.uint8]], sound: NDArray[np.float64], output: Path) -> None:
    """Write pictures and sound to an MP4 file, H.264 and AAC.

    The encoder puts about 1000 samples in front of the AAC sound; ffmpeg notes them in the file's
    edit list, and players and decoders skip them again, so that sound and picture stay in step.

    Args:
        images: uint8 BGR pictures, FRAME_RATE per second.
        sound: mono at SOUND_RATE_HZ within -1..1.
        output: the file to write; overwritten.
    """
    with tempfile.TemporaryDirectory() as folder:
        spoken = Path(folder) / "sound.wav"
        with wave.open(str(spoken), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SOUND_RATE_HZ)
            file.writeframes(np.round(sound * 32767).astype("<i2").tobytes())
        command = [
            find_ffmpeg(),
            "-v",
            "error",
            "-y",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "bgr24",
            "-s",
            f"{WIDTH_PX}x{HEIGHT_PX}",
            "-r",
            str(FRAME_RATE),
            "-i",
            "-",
            "-i",
            str(spoken),
            "-c:v",
            "libx264",
            "-preset",
            "slow",
            "-crf",
            "23",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
            "-b:a",
            "96k",
            "-fflags",
            "+bitexact",
            "-flags:v",
            "+bitexact",
            "-flags:a",
            "+bitexact",
            "-movflags",
            "+faststart",
            str(output),
        ]
        subprocess.run(command, input=b"".join(image.tobytes() for image in images), check=True)


def main() -> None:
    """Make the example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).resolve().with_name("example.mp4")
    )
    output: Path = parser.parse_args().output
    first = speak(SHOT_ONE_TEXT, voice=SHOT_ONE_VOICE[0], words_per_minute=SHOT_ONE_VOICE[1])
    second = speak(SHOT_TWO_TEXT, voice=SHOT_TWO_VOICE[0], words_per_minute=SHOT_TWO_VOICE[1])
    images = shot_one(drawn_mouth(first, frames=SHOT_ONE_FRAMES, lead_frames=SHOT_ONE_LEAD_FRAMES))
    images += shot_two(
        drawn_mouth(second, frames=SHOT_TWO_FRAMES, lead_frames=SHOT_TWO_LEAD_FRAMES)
    )
    sound = resample_poly(np.concatenate([first, second]), SOUND_RATE_HZ // SPEECH_RATE_HZ, 1)
    encode(images, sound, output)
    print(f"{output}: {len(images)} frames, {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
