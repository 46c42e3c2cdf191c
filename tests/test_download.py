"""download_model.sh against a faulty server, with curl and with wget."""

import hashlib
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models import published
from tests.download_kit import CONTENT, STOP, Answer, Kit, Mirror, row, running_mirror

REPO = Path(__file__).resolve().parent.parent
OTHER = CONTENT[::-1]
PAGE = b"<!DOCTYPE html>\n<html><body>Sign in to the guest network</body></html>\n"
SHELL_TOOLS = ("sh", "cat", "cut", "dd", "dirname", "grep", "mkdir", "mv", "rm", "tr", "wc")
CLIENTS = ("curl", "wget")
HASHERS = ("sha256sum", "shasum", "openssl")
BROKEN = Answer(sent_bytes=STOP)

MakeKit = Callable[..., Kit]


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """A server of this test's own."""
    with running_mirror() as running:
        yield running


@pytest.fixture
def make_kit(tmp_path: Path) -> MakeKit:
    """Makes a kit that finds only the given downloader and hasher."""

    def make(client: str | None, hasher: str | None = "sha256sum") -> Kit:
        kit = Kit(tmp_path / "it's a place", tmp_path / "tools")
        (kit.root / "models").mkdir(parents=True)
        shutil.copy(REPO / "download_model.sh", kit.root)
        kit.tools.mkdir()
        for tool in (*SHELL_TOOLS, client, hasher):
            if tool is None:
                continue
            program = shutil.which(tool)
            if program is None:
                pytest.skip(f"{tool} is not installed")
            (kit.tools / tool).symlink_to(program)
        return kit

    return make


@pytest.fixture(params=CLIENTS)
def kit(make_kit: MakeKit, request: pytest.FixtureRequest) -> Kit:
    """A kit with curl, then with wget."""
    return make_kit(request.param)


def _leftovers(kit: Kit) -> list[str]:
    return sorted(path.name for path in (kit.root / "data").iterdir())


def _complete(kit: Kit, done: "subprocess.CompletedProcess[str]") -> None:
    """The file is there, whole, and nothing else is."""
    assert done.returncode == 0, done.stderr
    assert kit.file.read_bytes() == CONTENT and _leftovers(kit) == ["file.bin"]
    assert done.stdout == "data/file.bin is complete; licence: free for tests.\n"


# What goes well.


def test_a_file_is_fetched_once(kit: Kit, mirror: Mirror) -> None:
    """It comes whole under its name; the next run asks for nothing."""
    kit.lists(row("syncnet", mirror.serves()))
    done = kit.run()
    _complete(kit, done)
    assert done.stderr == ""
    again = kit.run()
    assert again.returncode == 0 and again.stdout == "data/file.bin is there.\n"
    assert mirror.requests == [("/file.bin", None)] and again.stderr == ""


def test_redirects_are_followed(kit: Kit, mirror: Mirror) -> None:
    """Also with a part to continue: release files are always elsewhere."""
    mirror.serves(path="/elsewhere")
    kit.lists(row("syncnet", mirror.serves(Answer(location="/elsewhere"))))
    kit.part.parent.mkdir()
    kit.part.write_bytes(CONTENT[:STOP])
    _complete(kit, kit.run())
    assert mirror.requests[-1] == ("/elsewhere", f"bytes={STOP}-")


def test_a_broken_transfer_goes_on_in_the_next_run(kit: Kit, mirror: Mirror) -> None:
    """Received bytes stay in .part, and only the rest is requested."""
    kit.lists(row("syncnet", mirror.serves(BROKEN)))
    broken = kit.run()
    assert broken.returncode == 1 and _leftovers(kit) == ["file.bin.part"]
    assert kit.part.read_bytes() == CONTENT[:STOP]
    assert f"broke off after {STOP} of {len(CONTENT)} bytes" in broken.stderr
    mirror.serves()
    _complete(kit, kit.run())
    assert mirror.requests == [("/file.bin", None), ("/file.bin", f"bytes={STOP}-")]


def test_the_next_address_goes_on_where_one_broke_off(kit: Kit, mirror: Mirror) -> None:
    """Pieces of several mirrors make one file."""
    urls = [mirror.serves(BROKEN, "/a"), mirror.serves(BROKEN, "/b"), mirror.serves(path="/c")]
    kit.lists(row("syncnet", *urls))
    done = kit.run()
    _complete(kit, done)
    assert mirror.requests == [("/a", None), ("/b", f"bytes={STOP}-"), ("/c", f"bytes={2 * STOP}-")]
    assert done.stderr.count("\n") == 2


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_a_stopped_run_is_continued(kit: Kit, mirror: Mirror, how: signal.Signals) -> None:
    """A stopped transfer tries no other address and leaves a part that is continued."""
    hold = threading.Event()
    slow = mirror.serves(Answer(sent_bytes=STOP, hold=hold))
    kit.lists(row("syncnet", slow, mirror.serves(path="/b")))
    process = kit.start()
    end = time.monotonic() + 60
    while time.monotonic() < end and not (kit.part.exists() and kit.part.stat().st_size):
        time.sleep(0.01)
    os.killpg(process.pid, how)
    process.communicate(timeout=60)
    hold.set()
    assert process.returncode in (-how, 128 + how) and _leftovers(kit) == ["file.bin.part"]
    received = kit.part.stat().st_size
    assert 0 < received <= STOP
    mirror.serves()
    _complete(kit, kit.run())
    assert mirror.requests == [("/file.bin", None), ("/file.bin", f"bytes={received}-")]


@pytest.mark.parametrize("hasher", HASHERS)
def test_any_of_the_three_hashers_will_do(make_kit: MakeKit, mirror: Mirror, hasher: str) -> None:
    """Each accepts the file and refuses another."""
    kit = make_kit("curl", hasher)
    kit.lists(row("syncnet", mirror.serves(Answer(OTHER), "/a"), mirror.serves(path="/b")))
    _complete(kit, kit.run())
    assert [path for path, _ in mirror.requests] == ["/a", "/b"]


# Servers that do something else.


def test_a_server_may_ignore_the_range(kit: Kit, mirror: Mirror) -> None:
    """200 and the whole file, where the rest was asked for, is not appended."""
    kit.lists(row("syncnet", mirror.serves(Answer(ranges=False))))
    kit.part.parent.mkdir()
    kit.part.write_bytes(CONTENT[:STOP])
    _complete(kit, kit.run())
    assert mirror.requests[0] == ("/file.bin", f"bytes={STOP}-")


@pytest.mark.parametrize("size", [str(len(CONTENT)), "-"], ids=["size known", "size unknown"])
def test_a_whole_part_only_needs_its_name(kit: Kit, mirror: Mirror, size: str) -> None:
    """Killed between transfer and rename: nothing is fetched again, 416 is no failure."""
    kit.lists(row("syncnet", mirror.serves(), bytes=size))
    kit.part.parent.mkdir()
    kit.part.write_bytes(CONTENT)
    _complete(kit, kit.run())
    assert mirror.requests == ([] if size != "-" else [("/file.bin", f"bytes={len(CONTENT)}-")])


@pytest.mark.parametrize("size", [str(len(CONTENT)), "-"], ids=["size known", "size unknown"])
@pytest.mark.parametrize("extra", [0, 5000])
def test_a_part_that_is_long_enough_but_wrong_is_fetched_anew(
    kit: Kit, mirror: Mirror, size: str, extra: int
) -> None:
    """A part as long as the file, or longer, is deleted."""
    kit.lists(row("syncnet", mirror.serves(), bytes=size))
    kit.part.parent.mkdir()
    kit.part.write_bytes(OTHER + bytes(extra))
    _complete(kit, kit.run())
    assert mirror.requests[-1] == ("/file.bin", None)


def test_a_part_with_a_wrong_beginning_is_not_the_end(kit: Kit, mirror: Mirror) -> None:
    """The joined file is refused, then the same and only address gives it from the start."""
    kit.lists(row("syncnet", mirror.serves()))
    kit.part.parent.mkdir()
    kit.part.write_bytes(OTHER[:STOP])
    _complete(kit, kit.run())
    assert mirror.requests == [("/file.bin", f"bytes={STOP}-"), ("/file.bin", None)]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(OTHER), r"sent another file than the published one \(102400 bytes"),
        (Answer(CONTENT[:STOP]), r"sent another file than the published one \(40000 bytes"),
        (Answer(PAGE), "sent an HTML page"),
        (Answer(b"\n " + PAGE.lower() * 2000), "sent an HTML page"),
        (Answer(b"", status=503), "answered with an error"),
        (Answer(b""), "sent another file"),
    ],
    ids=["corrupt", "short", "page", "long page", "error", "empty"],
)
def test_what_is_not_the_file_is_named_and_deleted(
    kit: Kit, mirror: Mirror, answer: Answer, message: str
) -> None:
    """Nothing gets the file's name and nothing is left that would spoil the next run."""
    kit.lists(row("syncnet", mirror.serves(answer)))
    done = kit.run()
    assert done.returncode == 1 and done.stdout == "" and _leftovers(kit) == []
    first, last = done.stderr.splitlines()
    assert re.match(rf"warning: {mirror.base}/file\.bin {message}", first)
    assert ("(503)" in first) == (answer.status == 503 and kit.has("curl"))  # wget keeps it quiet
    assert last == ("error: data/file.bin could not be fetched; run this again to continue.")


def test_addresses_are_tried_in_turn(kit: Kit, mirror: Mirror) -> None:
    """Refused, absent, page and corrupt: each is named, each leaves the next a clean start."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}/file.bin"
    page, corrupt = mirror.serves(Answer(PAGE), "/page"), mirror.serves(Answer(OTHER), "/corrupt")
    kit.lists(row("syncnet", nobody, f"{mirror.base}/absent", page, corrupt, mirror.serves()))
    done = kit.run()
    _complete(kit, done)
    assert mirror.requests == [
        (path, None) for path in ("/absent", "/page", "/corrupt", "/file.bin")
    ]
    reasons = ("cannot be reached", "answered with an error", "HTML page", "another file")
    for line, reason in zip(done.stderr.splitlines(), reasons, strict=True):
        assert line.startswith("warning: ") and reason in line


@pytest.mark.parametrize("answer", [Answer(PAGE), Answer(PAGE, ranges=False)], ids=["416", "200"])
def test_a_page_does_not_cost_what_is_there(kit: Kit, mirror: Mirror, answer: Answer) -> None:
    """The sign-in page of a guest network is refused; the part survives."""
    kit.lists(row("syncnet", mirror.serves(answer)))
    kit.part.parent.mkdir()
    kit.part.write_bytes(CONTENT[:STOP])
    done = kit.run()
    assert done.returncode == 1 and "HTML page" in done.stderr
    assert _leftovers(kit) == ["file.bin.part"] and kit.part.read_bytes() == CONTENT[:STOP]
    mirror.serves()
    _complete(kit, kit.run())
    assert mirror.requests[-1] == ("/file.bin", f"bytes={STOP}-")


# What is already there.


def test_another_file_stays_until_the_published_one_is_here(kit: Kit, mirror: Mirror) -> None:
    """It is named, survives a failure untouched, and is replaced by what is verified."""
    kit.lists(row("syncnet", mirror.serves(Answer(OTHER))))
    kit.file.parent.mkdir()
    kit.file.write_bytes(b"my fine-tune")
    failed = kit.run()
    assert failed.returncode == 1 and kit.file.read_bytes() == b"my fine-tune"
    assert _leftovers(kit) == ["file.bin"]
    assert failed.stderr.startswith("warning: data/file.bin is not the published file")
    mirror.serves()
    done = kit.run()
    _complete(kit, done)
    assert "it stays until that one is here" in done.stderr


def test_an_unknown_digest_is_kept_and_checked_later(kit: Kit, mirror: Mirror) -> None:
    """The first download is accepted with a warning; another content later is refused."""
    kit.lists(row("syncnet", mirror.serves(), bytes="-", sha256="-"))
    done = kit.run()
    assert done.returncode == 0 and kit.file.read_bytes() == CONTENT
    assert "No SHA-256 of data/file.bin is known; the one seen now is kept" in done.stdout
    record = kit.root / "data" / "file.bin.sha256"
    assert record.read_text() == f"{hashlib.sha256(CONTENT).hexdigest()}  file.bin\n"
    assert kit.run().stdout == "data/file.bin is there.\n" and len(mirror.requests) == 1
    kit.file.unlink()
    mirror.serves(Answer(OTHER))
    assert kit.run().returncode == 1 and _leftovers(kit) == ["file.bin.sha256"]


@pytest.mark.parametrize("answer", [BROKEN, Answer(PAGE)], ids=["broken", "page"])
def test_an_unknown_digest_trusts_no_pieces(kit: Kit, mirror: Mirror, answer: Answer) -> None:
    """Pages and parts are refused, and a part of another time is not joined to anything."""
    kit.lists(row("syncnet", mirror.serves(answer), bytes="-", sha256="-"))
    kit.part.parent.mkdir()
    kit.part.write_bytes(OTHER[:10])
    assert kit.run().returncode == 1
    assert not kit.file.exists() and mirror.requests == [("/file.bin", None)]
    mirror.serves()
    assert kit.run().returncode == 0 and kit.file.read_bytes() == CONTENT


# What is asked for.


def _family(mirror: Mirror) -> list[str]:
    names = ("syncnet", "s3fd", "wav2lip_gan", "wav2lip", "lipsync_expert", "example")
    return [row(name, mirror.serves(path=f"/{name}"), file=f"{name}.bin") for name in names]


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ("syncnet", ["syncnet"]),
        ("s3fd", ["s3fd"]),
        ("wav2lip", ["wav2lip_gan", "wav2lip", "lipsync_expert"]),
        ("wav2lip_gan", ["wav2lip_gan"]),
        ("example", ["example"]),
    ],
)
def test_only_chooses(make_kit: MakeKit, mirror: Mirror, only: str, names: list[str]) -> None:
    """Nothing else is fetched, whichever way the option is written."""
    kit = make_kit("curl")
    kit.lists(*_family(mirror))
    assert kit.run("--only", only).returncode == 0
    assert kit.run(f"--only={only}").returncode == 0
    assert mirror.requests == [(f"/{name}", None) for name in names]
    assert _leftovers(kit) == sorted(f"{name}.bin" for name in names)


def test_everything_is_the_default_and_one_failure_is_not_the_end(
    make_kit: MakeKit, mirror: Mirror
) -> None:
    """All others are fetched; the exit code still says that one is missing."""
    kit = make_kit("curl")
    kit.lists(*_family(mirror))
    mirror.serves(Answer(PAGE), "/s3fd")
    done = kit.run()
    assert done.returncode == 1 and len(mirror.requests) == 6 and len(_leftovers(kit)) == 5
    assert done.stderr.splitlines()[-1].startswith("error: data/s3fd.bin could not be fetched")


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_mirror_of_ones_own_replaces_the_addresses(kit: Kit, mirror: Mirror, slash: str) -> None:
    """DOWNLOAD_MIRROR is asked for the file by its name, and checked like any other."""
    kit.lists(row("syncnet", f"{mirror.base}/table"))
    mirror.serves(path="/own/file.bin")
    _complete(kit, kit.run(DOWNLOAD_MIRROR=f"{mirror.base}/own{slash}"))
    assert mirror.requests == [("/own/file.bin", None)]


@pytest.mark.parametrize(
    "arguments",
    [("--only", "name"), ("--only", "all the rest"), ("--only",), ("syncnet",), ("-x",)],
)
def test_wrong_usage_is_one_sentence(
    make_kit: MakeKit, mirror: Mirror, arguments: tuple[str, ...]
) -> None:
    """Exit code 2, nothing fetched."""
    kit = make_kit("curl")
    kit.lists(*_family(mirror))
    done = kit.run(*arguments)
    assert done.returncode == 2 and done.stdout == "" and mirror.requests == []
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_help_names_the_options(make_kit: MakeKit) -> None:
    """Also the variable that names a mirror."""
    done = make_kit(None, None).run("--help")
    assert done.returncode == 0 and done.stderr == ""
    for word in ("--only", "syncnet", "s3fd", "wav2lip", "example", "DOWNLOAD_MIRROR"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("client", "hasher", "message"),
    [(None, "sha256sum", "neither curl nor wget"), ("curl", None, "none of sha256sum")],
)
def test_a_missing_tool_is_named(
    make_kit: MakeKit, mirror: Mirror, client: str | None, hasher: str | None, message: str
) -> None:
    """Nothing is fetched that could not be checked."""
    kit = make_kit(client, hasher)
    kit.lists(row("syncnet", mirror.serves()))
    done = kit.run()
    assert done.returncode == 1 and message in done.stderr and done.stderr.count("\n") == 1
    assert mirror.requests == []


def test_a_full_disk_is_one_error(kit: Kit, mirror: Mirror) -> None:
    """No second mirror is tried, and the received part is continued later."""
    kit.lists(row("syncnet", mirror.serves(path="/a"), mirror.serves(path="/b")))
    done = kit.run(most_bytes=STOP)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "data/file.bin.part cannot be written (is the disk full?)" in done.stderr
    assert [path for path, _ in mirror.requests] == ["/a"] and _leftovers(kit) == ["file.bin.part"]
    _complete(kit, kit.run())
    assert mirror.requests[-1] == ("/a", f"bytes={STOP}-")


def test_a_file_named_data_is_an_error(make_kit: MakeKit, mirror: Mirror) -> None:
    """Nothing is fetched that could not be stored."""
    kit = make_kit("curl")
    kit.lists(row("syncnet", mirror.serves()))
    kit.part.parent.touch()
    done = kit.run()
    assert done.returncode == 1 and done.stderr.startswith("error: data is not a folder")
    assert done.stderr.count("\n") == 1 and mirror.requests == []


def test_a_terminal_sees_progress(kit: Kit, mirror: Mirror) -> None:
    """On a terminal the downloader's own bar; elsewhere (every other test) nothing."""
    kit.lists(row("syncnet", mirror.serves()))
    terminal, side = pty.openpty()
    process = kit.start(stderr=side)
    os.close(side)
    output = b""
    try:
        while block := os.read(terminal, 4096):
            output += block
    except OSError:
        pass  # how Linux says that the other side is closed
    os.close(terminal)
    process.communicate()
    assert process.returncode == 0 and b"100" in output


# The table.


def test_the_table_is_complete() -> None:
    """Every row has a digest, a size, secure addresses and a licence, in six fields as sh reads."""
    rows = published.table().values()
    names = ["syncnet", "s3fd", "wav2lip_gan", "wav2lip", "lipsync_expert", "example"]
    assert list(published.table()) == [one.name for one in rows] == names
    for one in rows:
        assert one.sha256 and re.fullmatch("[0-9a-f]{64}", one.sha256)
        assert one.size_bytes and one.size_bytes > 1_000_000
        assert all(re.fullmatch(r"https://[\w.~/+-]+", url) for url in one.urls)
        assert one.licence and "\t" not in one.licence
    assert len({one.file for one in rows}) == len({one.sha256 for one in rows}) == 6
    lines = published.TABLE.read_text(encoding="utf-8").splitlines()
    assert [line.count("\t") for line in lines] == [5] * 7
    assert b"\r" not in published.TABLE.read_bytes()
