"""`make release-check`, in repositories that lack one thing each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from soak.release_check import version_problems
from tests.support.processes import ROOT, environment

CHANGELOG = """# Changelog

## [Unreleased]

## [1.1.0] - 2026-12-01

Schema version 1.

### Added

- Something.
"""
FILES = {
    "pyproject.toml": '[project]\nname = "billing"\nversion = "1.1.0"\n',
    "Dockerfile": "FROM scratch\nARG VERSION=1.1.0\n",
    "CHANGELOG.md": CHANGELOG,
    # Without a package, since uv must ask no index here.
    "requirements.in": "# nothing\n",
    "requirements.txt": "",
    "requirements-dev.in": "-r requirements.in\n",
    "requirements-dev.txt": "",
}
STALE = "flask==3.1.0\n    # via -r requirements.in\n"


def git(folder: Path, *arguments: str) -> None:
    author = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository that can be released."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    git(tmp_path, "init")
    commit(tmp_path)
    return tmp_path


def commit(repository: Path) -> None:
    git(repository, "add", "--all")
    git(repository, "commit", "--allow-empty", "--message", "Change")


def release_check(repository: Path) -> tuple[int, str]:
    """The status and what is printed, with `make lock`'s program and no index."""
    lock = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet", "--no-header"]
    ended = subprocess.run(
        [sys.executable, str(ROOT / "soak" / "release_check.py"), *lock, "--offline"],
        cwd=repository,
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stderr == ""
    return ended.returncode, ended.stdout


def test_a_repository_that_is_ready_can_be_tagged(repository: Path) -> None:
    assert release_check(repository) == (0, "1.1.0 can be tagged v1.1.0\n")


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("Dockerfile", "1.1.0", "1.0.0", "the Dockerfile has VERSION=1.0.0, pyproject.toml 1.1.0"),
        ("CHANGELOG.md", "[1.1.0]", "[1.0.0]", "CHANGELOG.md has no [1.1.0] on top"),
        ("CHANGELOG.md", " - 2026-12-01", "", "CHANGELOG.md has no date for [1.1.0]"),
        (
            "CHANGELOG.md",
            "Schema version 1.",
            "",
            "CHANGELOG.md does not say which schema version [1.1.0] has",
        ),
        (
            "CHANGELOG.md",
            "[Unreleased]\n",
            "[Unreleased]\n\n### Fixed\n\n- A fault.\n",
            "CHANGELOG.md has changes under Unreleased",
        ),
        ("requirements.txt", "", STALE, "requirements.txt is not what `make lock` writes"),
        ("requirements-dev.txt", "", STALE, "requirements-dev.txt is not what `make lock` writes"),
    ],
)
def test_what_is_missing_is_named(
    repository: Path, name: str, old: str, new: str, problem: str
) -> None:
    text = (repository / name).read_text()
    (repository / name).write_text(text.replace(old, new) if old else new)
    commit(repository)

    assert release_check(repository) == (1, f"{problem}\n")


def test_a_change_that_is_not_committed_is_named(repository: Path) -> None:
    (repository / "left.py").touch()

    assert release_check(repository) == (1, "the tree is not clean:\n?? left.py\n")


def test_a_version_that_has_a_tag_is_an_old_one(repository: Path) -> None:
    git(repository, "tag", "v1.1.0")

    assert release_check(repository) == (
        1,
        "there is a tag v1.1.0: pyproject.toml has the version of an old release\n",
    )


def test_a_lock_that_cannot_be_made_is_named(repository: Path) -> None:
    (repository / "requirements.in").write_text("no-such-package-anywhere\n")
    commit(repository)

    status, printed = release_check(repository)

    assert status == 1
    assert "requirements.txt could not be checked: " in printed


def test_the_versions_of_this_repository_agree() -> None:
    assert list(version_problems(ROOT)) == []
