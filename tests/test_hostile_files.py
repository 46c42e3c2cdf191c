"""Files that refer to other files, and files whose headers claim huge sizes."""

import resource
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import run_pipeline
from pipeline import cli
from pipeline.store.workspace import Workspace
from tests.conftest import snapshot
from tests.mutation_kit import boxes
from tests.synthetic import ffmpeg, frame_count

MOST_BYTES = 1536 << 20
MOST_S = 5.0
HUGE_PX = 32_768
BILLION = 1_000_000_000
DAY_S = 86_400
PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=320x320:r=25:d=0.4,format=yuv420p")
TONE = ("-f", "lavfi", "-i", "sine=r=16000:d=0.4")


@pytest.fixture
def address() -> Iterator[tuple[str, socket.socket]]:
    """host:port of a listener nobody may connect to, and the listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield f"127.0.0.1:{listener.getsockname()[1]}", listener


def _m3u8(target: str) -> bytes:
    head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.0,\n"
    return f"{head}{target}\n#EXT-X-ENDLIST\n".encode()


def _concat(target: str) -> bytes:
    return f"ffconcat version 1.0\nfile '{target}'\n".encode()


def _dash(target: str) -> bytes:
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">'
        '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="9">'
        f"<BaseURL>{target}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    ).encode()


def _sdp(target: str) -> bytes:
    port = target.rpartition(":")[2].partition("/")[0]
    port = port if port.isdecimal() else "9"
    head = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    return f"{head}m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n".encode()


def _rtsp(target: str) -> bytes:
    return f"rtsptext\n{target}\n".encode()


def _subtitle(target: str) -> bytes:
    return f"1\n00:00:00,000 --> 00:00:01,000\n<img src='{target}'>\n".encode()


def _svg(target: str) -> bytes:
    image = f'<image href="{target}" width="9" height="9"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{image}</svg>'.encode()


POINTERS: dict[str, tuple[Callable[[str], bytes], tuple[str, ...]]] = {
    "m3u8": (_m3u8, (".m3u8", ".mp4", ".ts")),
    "concat": (_concat, (".ffconcat", ".mp4")),
    "dash": (_dash, (".mpd", ".mp4")),
    "sdp": (_sdp, (".sdp", ".mp4")),
    "rtsp": (_rtsp, (".mp4",)),
    "subtitle": (_subtitle, (".srt", ".mp4")),
    "svg": (_svg, (".svg", ".mp4")),
}


def _run(path: Path, data_dir: Path) -> int:
    """The first script, with the time and the memory that hostile files may take."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.process_time()
    arguments = ["--videofile", str(path), "--data_dir", str(data_dir), "--reference", "x"]
    code = cli.run(lambda: run_pipeline.main([*arguments, "--keep_frames", "no"]))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used_s = time.process_time() - started + after.ru_utime - before.ru_utime
    assert used_s + after.ru_stime - before.ru_stime < MOST_S
    # Linux counts the memory of whoever starts a child to the child, and the peak of all children
    # so far stays: in a process that has run much else, only what lies above both is of these.
    own = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 if sys.platform == "darwin" else 1024
    assert after.ru_maxrss * unit < MOST_BYTES or after.ru_maxrss <= max(
        before.ru_maxrss, own.ru_maxrss
    )
    return code


def _assert_one_sentence(path: Path, error: str) -> None:
    assert error.startswith("error: ") and error.count("\n") == 1 and path.name in error, error


@pytest.mark.parametrize("kind", POINTERS)
def test_files_that_point_elsewhere_are_not_followed(
    kind: str,
    address: tuple[str, socket.socket],
    no_face_clip: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No connection is made, and no other file's pictures come out: one sentence, exit code 2."""
    where, listener = address
    make, suffixes = POINTERS[kind]
    other = tmp_path / "other.mp4"
    other.write_bytes(no_face_clip.read_bytes())
    targets = (
        *(f"http://{where}/x.mp4", f"tcp://{where}", f"rtsp://{where}/x", f"ftp://{where}/x.mp4"),
        *(str(other), other.name, f"file:{other}", f"subfile,,start,0,end,0,,:{other}"),
        *(f"concat:{other}|http://{where}/x", f"data:video/mp4;base64,AAAA,http://{where}"),
    )
    for suffix in suffixes:
        for target in targets[:: 1 if suffix == suffixes[-1] else 4]:
            path = tmp_path / f"pointer{suffix}"
            path.write_bytes(make(target))
            assert _run(path, tmp_path / "work") == 2, (suffix, target)
            _assert_one_sentence(path, capsys.readouterr().err)
    with pytest.raises(BlockingIOError):
        listener.accept()
    assert not list((tmp_path / "work").rglob("*.avi"))


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_a_film_whose_samples_are_elsewhere(
    scheme: str,
    address: tuple[str, socket.socket],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """QuickTime may name another file for its pictures (dref); they are not fetched."""
    where, listener = address
    other, path = tmp_path / "other.mov", tmp_path / "pointer.mov"
    ffmpeg(*PICTURE, "-c:v", "mpeg4", "-movflags", "+faststart", other)
    data = bytearray(other.read_bytes())
    (dref,) = [box for box in boxes(bytes(data)) if box.kind == b"dref"]
    url = f"http://{where}/x.mov" if scheme == "http" else f"file://{other}"
    entry = b"url \0\0\0\0" + url.encode() + b"\0"
    entry = struct.pack(">I", 4 + len(entry)) + entry
    new = struct.pack(">I4sII", 16 + len(entry), b"dref", 0, 1) + entry
    grown = len(new) - (dref.end - dref.start)
    parents = [box for box in boxes(bytes(data)) if box.start < dref.start and dref.end <= box.end]
    for box in parents:
        struct.pack_into(">I", data, box.start, box.end - box.start + grown)
    data[dref.start : dref.end] = new
    # Its own samples are removed, so that any picture can only come from the other file.
    (mdat,) = [box for box in boxes(bytes(data)) if box.kind == b"mdat"]
    data[mdat.start + 8 : mdat.end] = bytes(mdat.end - mdat.start - 8)
    path.write_bytes(data)
    assert _run(path, tmp_path / "work") == 2
    _assert_one_sentence(path, capsys.readouterr().err)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_a_name_that_is_a_pattern_is_one_file(tmp_path: Path) -> None:
    """`p%03d.png` is never the pictures beside it; one sentence where it would be."""
    path = tmp_path / "p%03d.png"
    for name, colour in (("own.png", "red"), ("p001.png", "blue"), ("p002.png", "blue")):
        ffmpeg("-f", "lavfi", "-i", f"color={colour}:s=64x64", "-frames:v", "1", tmp_path / name)
    (tmp_path / "own.png").rename(path)
    assert _run(path, tmp_path / "work") in (0, 2)
    video = Workspace(tmp_path / "work", "x").video
    assert not video.exists() or frame_count(video) == 1


# Headers that claim too much.


def _patched(data: bytes, old: bytes, new: bytes, *, count: int | None = None) -> bytes:
    assert old in data and len(old) == len(new)
    return data.replace(old, new, count or -1)


def _film(folder: Path, name: str, *options: str) -> tuple[Path, bytes]:
    path = folder / name
    ffmpeg(*PICTURE, *TONE, *options, path)
    return path, path.read_bytes()


def _huge_mkv(folder: Path, codec: str) -> Path:
    """PixelWidth and PixelHeight."""
    path, data = _film(folder, "huge.mkv", "-c:v", codec)
    for key in (b"\xb0", b"\xba"):
        data = _patched(data, key + b"\x82\x01\x40", key + b"\x82" + struct.pack(">H", HUGE_PX))
    path.write_bytes(data)
    return path


def _huge_mp4(folder: Path, codec: str) -> Path:
    """Sizes in tkhd and in the sample description."""
    path, data = _film(folder, "huge.mov", "-c:v", codec)
    side = struct.pack(">H", HUGE_PX)
    data = _patched(data, b"\x01\x40\0\0\x01\x40\0\0", side + b"\0\0" + side + b"\0\0")
    path.write_bytes(_patched(data, b"\x01\x40\x01\x40", side * 2))
    return path


def _huge_avi(folder: Path, codec: str) -> Path:
    """Sizes in both headers, and of each picture where that is JPEG."""
    path, data = _film(folder, "huge.avi", "-c:v", codec, "-c:a", "pcm_s16le")
    data = _patched(data, struct.pack("<II", 320, 320), struct.pack("<II", HUGE_PX, HUGE_PX))
    if codec == "mjpeg":
        sizes = struct.pack(">HH", 320, 320), struct.pack(">HH", HUGE_PX, HUGE_PX)
        data = _patched(data, b"\xff\xc0\0\x11\x08" + sizes[0], b"\xff\xc0\0\x11\x08" + sizes[1])
    path.write_bytes(data)
    return path


def _huge_png(folder: Path, codec: str) -> Path:
    path = folder / "huge.png"
    ffmpeg(*PICTURE, "-frames:v", "1", path)
    sizes = struct.pack(">II", 320, 320), struct.pack(">II", HUGE_PX, HUGE_PX)
    path.write_bytes(_patched(path.read_bytes(), *sizes))
    return path


HUGE = [
    *((_huge_mkv, codec) for codec in ("ffv1", "mpeg4", "rawvideo", "libx264")),
    *((_huge_mp4, codec) for codec in ("mpeg4", "rawvideo", "png")),
    *((_huge_avi, codec) for codec in ("mjpeg", "mpeg4", "rawvideo")),
    (_huge_png, "png"),
]


@pytest.mark.parametrize(
    ("make", "codec"), HUGE, ids=lambda value: value if isinstance(value, str) else value.__name__
)
def test_a_header_of_huge_pictures(
    make: Callable[[Path, str], Path],
    codec: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One sentence, or the pictures as they really are."""
    path = make(tmp_path, codec)
    code = _run(path, tmp_path / "work")
    error = capsys.readouterr().err
    if code:
        _assert_one_sentence(path, error)
        assert not list((tmp_path / "work").rglob("*.avi"))
    else:
        assert frame_count(Workspace(tmp_path / "work", "x").video) == 10


def _many_avi(folder: Path) -> Path:
    """A billion frames in avih and strh."""
    path, data = _film(folder, "many.avi", "-c:v", "mpeg4", "-c:a", "pcm_s16le")
    changed = bytearray(data)
    struct.pack_into("<I", changed, data.index(b"avih") + 8 + 16, BILLION)
    struct.pack_into("<I", changed, data.index(b"strh") + 8 + 32, BILLION)
    path.write_bytes(changed)
    return path


def _many_mp4(folder: Path, kind: bytes) -> Path:
    """A billion entries in a table of the picture."""
    path, data = _film(folder, "many.mp4", "-c:v", "mpeg4", "-c:a", "aac")
    box = next(box for box in boxes(data) if box.kind == kind)
    changed = bytearray(data)
    # stsz: one size for all, then how many; stts: how many of how many.
    counts_at = {b"stsz": (12, 16), b"stts": (16,), b"stco": (12,), b"ctts": (12,)}[kind]
    for work, value in zip(counts_at[::-1], (BILLION, 100), strict=False):
        struct.pack_into(">I", changed, box.start + work, value)
    path.write_bytes(changed)
    return path


def _day_mkv(folder: Path) -> Path:
    """24 hours in the header."""
    path, data = _film(folder, "day.mkv", "-c:v", "mpeg4", "-c:a", "pcm_s16le")
    changed = bytearray(data)
    struct.pack_into(">d", changed, data.index(b"\x44\x89\x88") + 3, DAY_S * 1000.0)
    path.write_bytes(changed)
    return path


def _day_mp4(folder: Path) -> Path:
    """24 hours in mvhd, tkhd, mdhd and the edit list."""
    path, data = _film(folder, "day.mp4", "-c:v", "mpeg4", "-c:a", "aac")
    changed = bytearray(data)
    for box in boxes(data):
        position = {b"mvhd": 24, b"mdhd": 24, b"tkhd": 28, b"elst": 16}.get(box.kind)
        if position:
            struct.pack_into(">I", changed, box.start + position, DAY_S * 1000)
    path.write_bytes(changed)
    return path


def _fast(folder: Path) -> Path:
    """A thousand pictures a second, really."""
    path = folder / "fast.mkv"
    source = "testsrc2=s=64x64:r=1000:d=0.4,format=yuv420p"
    ffmpeg("-f", "lavfi", "-i", source, *TONE, "-c:v", "mpeg4", "-c:a", "pcm_s16le", path)
    return path


CLAIMS: dict[str, Callable[[Path], Path]] = {
    "a billion frames in avi": _many_avi,
    "a billion sizes in mp4": lambda folder: _many_mp4(folder, b"stsz"),
    "a billion durations in mp4": lambda folder: _many_mp4(folder, b"stts"),
    "a billion places in mp4": lambda folder: _many_mp4(folder, b"stco"),
    "a day in mkv": _day_mkv,
    "a day in mp4": _day_mp4,
    "1000 pictures a second": _fast,
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_header_that_claims_too_much(
    claim: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is really there, or one sentence; the claim is not believed."""
    path = CLAIMS[claim](tmp_path)
    before = snapshot(tmp_path)
    code = _run(path, tmp_path / "work")
    error = capsys.readouterr().err
    if code:
        _assert_one_sentence(path, error)
        assert snapshot(tmp_path) == before
    else:
        assert frame_count(Workspace(tmp_path / "work", "x").video) == 10
