"""Shared by test_download.py: a server with faults on demand, and a copy of the script."""

import hashlib
import http.server
import re
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

CONTENT = bytes(range(256)) * 400  # 102400 bytes
STOP = 40_000  # bytes after which a transfer breaks off


@dataclass(frozen=True)
class Answer:
    """The server's answer at one path.

    Attributes:
        body: the whole file.
        status: code of a request for all of it.
        sent_bytes: how much of what is asked for comes before the connection closes; None for all.
        ranges: whether a part can be asked for.
        location: where the file is instead.
        hold: set when the server may go on after `sent_bytes`.
    """

    body: bytes = CONTENT
    status: int = 200
    sent_bytes: int | None = None
    ranges: bool = True
    location: str | None = None
    hold: threading.Event | None = None


@dataclass
class Mirror:
    """A running server: its answers, and the requests (path, Range) it got."""

    base: str
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def serves(self, answer: Answer = Answer(), path: str = "/file.bin") -> str:
        """Sets what a path answers; gives its address."""
        self.answers[path] = answer
        return self.base + path


def _handler(mirror: Mirror) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Keeps test output quiet."""

        def _head(self, status: int, length: int, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.send_header("Connection", "close")
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()

        def do_GET(self) -> None:
            self.close_connection = True
            byte_range = self.headers.get("Range")
            mirror.requests.append((self.path, byte_range))
            answer = mirror.answers.get(self.path, Answer(b"Not here.\n", status=404))
            if answer.location:
                return self._head(302, 0, Location=answer.location)
            start, status, total = 0, answer.status, len(answer.body)
            headers = {}
            if byte_range and answer.ranges and status == 200:
                start = int(byte_range.removeprefix("bytes=").removesuffix("-"))
                if start >= total:
                    return self._head(416, 0, Content_Range=f"bytes */{total}")
                status = 206
                headers["Content_Range"] = f"bytes {start}-{total - 1}/{total}"
            self._head(status, total - start, **headers)
            self.wfile.write(answer.body[start:][: answer.sent_bytes])
            if answer.hold:
                self.wfile.flush()
                answer.hold.wait(60)

    return Handler


@contextmanager
def running_mirror() -> Iterator[Mirror]:
    """A server on this machine; every path is 404 until `serves` sets an answer."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    running = Mirror(f"http://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = _handler(running)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    server.shutdown()
    server.server_close()
    thread.join()


def row(name: str = "syncnet", *urls: str, content: bytes = CONTENT, **fields: str) -> str:
    """A line of the table; bytes and sha256 are those of the content unless given."""
    size = fields.get("bytes", str(len(content)))
    digest = fields.get("sha256", hashlib.sha256(content).hexdigest())
    file = fields.get("file", "file.bin")
    return "\t".join((name, file, size, digest, " ".join(urls), "free for tests")) + "\n"


@dataclass(frozen=True)
class Kit:
    """A copy of the script with a table of its own, and the few programs it may find."""

    root: Path
    tools: Path

    @property
    def file(self) -> Path:
        """What the first row fetches."""
        return self.root / "data" / "file.bin"

    @property
    def part(self) -> Path:
        """The unfinished download."""
        return self.root / "data" / "file.bin.part"

    def has(self, tool: str) -> bool:
        """Whether the script can find a program."""
        return (self.tools / tool).exists()

    def lists(self, *rows: str) -> None:
        """Writes the table."""
        header = "name\tfile\tbytes\tsha256\turls\tlicence\n"
        (self.root / "models" / "published.tsv").write_text(header + "".join(rows))

    def start(self, *arguments: str, stderr: int = subprocess.PIPE) -> "subprocess.Popen[str]":
        """Starts the script in a process group of its own."""
        return subprocess.Popen(
            [self.tools / "sh", self.root / "download_model.sh", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=self.environment(),
            cwd="/",
            text=True,
            start_new_session=True,
            # Where the tests run in the background, Ctrl-C is ignored, and a shell keeps it so.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def environment(self, **more: str) -> dict[str, str]:
        """An environment without proxies and configuration files."""
        return {"PATH": str(self.tools), "HOME": str(self.root), **more}

    def run(
        self, *arguments: str, most_bytes: int | None = None, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        """Runs the script, files longer than `most_bytes` fail as on a full disk.

        Every line on stderr must be a whole sentence.
        """

        def limit() -> None:
            if most_bytes is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

        done = subprocess.run(
            [self.tools / "sh", self.root / "download_model.sh", *arguments],
            capture_output=True,
            env=self.environment(**more),
            cwd="/",
            text=True,
            check=False,
            timeout=60,
            preexec_fn=limit,
            restore_signals=False,  # a full file is a failed write, not a signal
        )
        for line in done.stderr.splitlines():
            assert re.fullmatch(r"(warning|error): .+\.", line), done.stderr
        return done
