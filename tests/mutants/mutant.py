"""One small fault: an edit of one file and the tests that must turn red."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """A fault that one sentence describes.

    Attributes:
        fault: what is wrong with the changed program.
        file: the file that is changed, from the root of the repository.
        before: text that occurs in it exactly once.
        after: what stands there instead.
        tests: pytest's arguments, files or single tests, one of which fails.
    """

    fault: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    def change(self, root: Path) -> None:
        """Changes the file below `root`.

        Raises:
            ValueError: the text to change is not there exactly once.
        """
        path = root / self.file
        text = path.read_text("utf-8")
        if text.count(self.before) != 1:
            raise ValueError(
                f"{self.file} holds {self.before!r} {text.count(self.before)} times, not once: "
                f"mend the entry {self.fault!r}"
            )
        path.write_text(text.replace(self.before, self.after), "utf-8")
