"""What must hold before a release is tagged: `make release-check`; it changes nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path


def version(root: Path) -> str:
    """The version that is to be released."""
    return str(tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def tree_problems(root: Path) -> Iterator[str]:
    """What git says of the checkout."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(
            command, cwd=root, capture_output=True, text=True, check=True
        ).stdout.rstrip()

    if changed := git("status", "--porcelain"):
        yield f"the tree is not clean:\n{changed}"
    if git("tag", "--list", f"v{version(root)}"):
        yield f"there is a tag v{version(root)}: pyproject.toml has the version of an old release"


def version_problems(root: Path) -> Iterator[str]:
    """Where another version is stated than in pyproject.toml."""
    stated = re.findall(r"(?m)^ARG VERSION=(.*)$", (root / "Dockerfile").read_text("utf-8"))
    if stated != [version(root)]:
        yield f"the Dockerfile has VERSION={', '.join(stated)}, pyproject.toml {version(root)}"


def changelog_problems(root: Path) -> Iterator[str]:
    """What the changelog lacks: the release on top, its date and schema version, all changes."""
    text = (root / "CHANGELOG.md").read_text("utf-8")
    sections = re.findall(r"(?ms)^## \[([^\]]+)\](.*?)(?=^## |\Z)", text)
    if sections and sections[0][0] == "Unreleased" and sections.pop(0)[1].strip():
        yield "CHANGELOG.md has changes under Unreleased"
    if not sections or sections[0][0] != version(root):
        yield f"CHANGELOG.md has no [{version(root)}] on top"
        return
    heading, _, changes = sections[0][1].partition("\n")
    if not re.fullmatch(r" - \d{4}-\d\d-\d\d", heading):
        yield f"CHANGELOG.md has no date for [{version(root)}]"
    if not re.search(r"[Ss]chema version \d", changes):
        yield f"CHANGELOG.md does not say which schema version [{version(root)}] has"


def lock_problems(root: Path, lock: Sequence[str]) -> Iterator[str]:
    """Locks that `lock`, the command of `make lock`, would write otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("requirements", "requirements-dev"):
            # What is locked already stays, as with `make lock`.
            fresh = Path(shutil.copy(root / f"{name}.txt", folder))
            command = [*lock, "-o", str(fresh), f"{name}.in"]
            ended = subprocess.run(command, cwd=root, capture_output=True, text=True)
            if ended.returncode:
                yield f"{name}.txt could not be checked: {ended.stderr.strip()}"
            elif fresh.read_bytes() != (root / f"{name}.txt").read_bytes():
                yield f"{name}.txt is not what `make lock` writes"


def main(lock: Sequence[str]) -> int:
    root = Path.cwd()
    problems = [
        *tree_problems(root),
        *version_problems(root),
        *changelog_problems(root),
        *lock_problems(root, lock),
    ]
    for problem in problems:
        print(problem)  # noqa: T201
    if not problems:
        print(f"{version(root)} can be tagged v{version(root)}")  # noqa: T201
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
