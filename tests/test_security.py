"""Promises of README's Security section about the code as a whole and other people's files."""

import ast
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pipeline.errors import PipelineError
from pipeline.media import decode
from tests.conftest import REPO
from training.loop.checkpoint import load_checkpoint

SCRIPTS = sorted(REPO.glob("run_*.py"))
FOLDERS = ("pipeline", "models")
EVERYTHING = [*REPO.glob("*.py"), *(REPO / "training").rglob("*.py")]
USED = [
    *SCRIPTS,
    *(file for name in FOLDERS for file in sorted((REPO / name).rglob("*.py"))),
]
EVERYTHING += [file for file in USED if file not in EVERYTHING]
NETWORK = {"socket", "socketserver", "ssl", "urllib", "http", "ftplib", "smtplib", "asyncio"}
NETWORK |= {"requests", "httpx", "urllib3", "aiohttp", "xmlrpc", "telnetlib", "websockets"}


def _imports(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def _calls(tree: ast.AST) -> Iterator[tuple[str, dict[str, str]]]:
    """Dotted name and keyword arguments, as they stand in the code, of every call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            keywords = {word.arg or "": ast.unparse(word.value) for word in node.keywords}
            yield ast.unparse(node.func), keywords


def unsafe(code: str) -> list[str]:
    """Calls in some code that run a shell, a text, or somebody else's file."""
    calls = []
    for name, keywords in _calls(ast.parse(code)):
        if keywords.get("shell", "False") != "False":
            calls.append(f"{name}(shell=...)")
        if name in ("eval", "exec", "compile", "os.system", "os.popen"):
            calls.append(name)
        if name in ("pickle.load", "pickle.loads", "pickle.Unpickler", "torch.hub.load"):
            calls.append(name)
        if name == "torch.load" and keywords.get("weights_only") != "True":
            calls.append("torch.load without weights_only")
        if keywords.get("allow_pickle", "False") != "False":
            calls.append(f"{name}(allow_pickle=...)")
    return calls


@pytest.mark.parametrize("file", EVERYTHING, ids=lambda file: str(file.relative_to(REPO)))
def test_no_code_runs_what_a_file_says(file: Path) -> None:
    """No shell, no eval, no unpickling but by the reader that knows a few names."""
    assert not unsafe(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "code",
    [
        "subprocess.run(command, shell=True)",
        "os.system('ls')",
        "eval(text)",
        "pickle.load(file)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_the_search_finds_unsafe_calls(code: str) -> None:
    """Each of the calls it looks for, and not their safe forms."""
    assert unsafe(code)
    assert not unsafe("torch.load(p, weights_only=True); model.eval(); np.load(p)")


def test_nothing_that_users_run_knows_the_network() -> None:
    """No module of pipeline/ and models/, and no run_*.py, imports anything that connects."""
    assert len(USED) > 30
    for file in USED:
        assert not _imports(ast.parse(file.read_text(encoding="utf-8"))) & NETWORK, file


def test_a_malicious_training_checkpoint_runs_nothing(tmp_path: Path) -> None:
    """A run folder of somebody else is as untrusted as weights."""
    trace, path = tmp_path / "trace", tmp_path / "checkpoint.pt"
    torch.save({"model": _Touches(trace)}, path)
    with pytest.raises(PipelineError, match="is no checkpoint of this program"):
        load_checkpoint(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists()


class _Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.trace), "w")


# Files that name other files.


@pytest.fixture
def listener() -> Iterator[tuple[int, list[object]]]:
    """A local server: its port, and the address of everybody who connected."""
    addresses: list[object] = []
    server = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, address = server.accept()
            except OSError:
                return
            addresses.append(address)
            connection.close()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield server.getsockname()[1], addresses
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{url}'\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT4S"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="1000"><BaseURL>{url}</BaseURL><SegmentList duration="2">'
    '<SegmentURL media="{url}"/></SegmentList></Representation></AdaptationSet></Period></MPD>\n',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video {port} RTP/AVP/TCP 96\na=rtpmap:96 H264/90000\n",
}


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".ffconcat", ".mpd", ".sdp", ".ts"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_no_file_makes_a_connection(
    kind: str, suffix: str, listener: tuple[int, list[object]], tmp_path: Path
) -> None:
    """Playlists and scripts that name an address are refused, under any suffix."""
    port, addresses = listener
    path = tmp_path / f"video{suffix}"
    url = f"http://127.0.0.1:{port}/video.ts"
    path.write_text(PLAYLISTS[kind].format(url=url, port=port))
    with pytest.raises(PipelineError, match=r"video\."):
        decode.probe(path)
    with pytest.raises(PipelineError):
        next(iter(decode.read_frames(path)))
    assert not addresses
    socket.create_connection(("127.0.0.1", port)).close()  # the listener does notice connections
    for _ in range(100):
        if addresses:
            break
        threading.Event().wait(0.05)
    assert addresses
