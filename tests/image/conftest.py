"""The image, built once, and what its containers mount."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.containers import DATA, Container, Image

Start = Callable[..., Container]


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    image = Image(tmp_path_factory.mktemp("image"))
    yield image
    image.close()


@pytest.fixture
def data(tmp_path: Path, image: Image) -> Path:
    """An empty volume, given to the image's user as Docker gives it one."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    user, _, group = image.config["User"].partition(":")
    os.chown(folder, int(user), int(group))
    return folder


@pytest.fixture
def start(image: Image, data: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts containers over `data` with the given variables; ends them with the test."""
    started: list[Container] = []
    numbers = itertools.count(1)

    def start(
        env: dict[str, str], *arguments: str, volumes: dict[str, Path] | None = None
    ) -> Container:
        folder = tmp_path / f"container{next(numbers)}"
        mounted = {DATA: data, **(volumes or {})}
        started.append(Container(image, folder, env, mounted, *arguments))
        return started[-1]

    yield start
    for container in started:
        container.close()
