"""The Dockerfile, as far as it can be held to the rest of the repository without an engine."""

import fnmatch
import json
import subprocess
import sys
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from service import settings

CPU = "python:3.11-slim"
CUDA = "nvidia/cuda:13.0.1-runtime-ubuntu24.04"


@pytest.fixture(scope="module")
def dockerfile(deploy: Path) -> DockerfileParser:
    return DockerfileParser(path=str(deploy / "Dockerfile"))


def _values(dockerfile: DockerfileParser, instruction: str) -> list[str]:
    return [each["value"] for each in dockerfile.structure if each["instruction"] == instruction]


def _copied(dockerfile: DockerfileParser) -> list[str]:
    """What is copied from the checkout, not from another stage."""
    copies = [value.split() for value in _values(dockerfile, "COPY")]
    return [source for words in copies if "--from" not in words[0] for source in words[:-1]]


def _stages(dockerfile: DockerfileParser) -> list[tuple[str, str]]:
    """Pairs of what a stage is built from, and its name."""
    words = [value.split() for value in _values(dockerfile, "FROM")]
    assert all(each[1].upper() == "AS" for each in words)
    return [(each[0], each[2]) for each in words]


def test_everything_that_is_copied_exists(dockerfile: DockerfileParser, repository: Path) -> None:
    sources = _copied(dockerfile)
    assert sources
    assert [source for source in sources if not (repository / source).exists()] == []


def test_everything_that_is_copied_reaches_the_build(
    dockerfile: DockerfileParser, deploy: Path
) -> None:
    lines = (deploy / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    admitted = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines, "the ignore file admits by name only"
    assert [
        source
        for source in _copied(dockerfile)
        if not any(fnmatch.fnmatch(source, pattern) for pattern in admitted)
    ] == []


def test_stages_build_on_the_base_image_or_an_earlier_stage(dockerfile: DockerfileParser) -> None:
    known = {"${BASE_IMAGE}"}
    for source, name in _stages(dockerfile):
        assert source in known
        known.add(name)
    copied_from = [
        word.removeprefix("--from=")
        for value in _values(dockerfile, "COPY")
        for word in value.split()
        if word.startswith("--from=")
    ]
    assert copied_from
    assert set(copied_from) <= known


def test_the_build_argument_names_the_base_image(deploy: Path) -> None:
    path = str(deploy / "Dockerfile")
    assert DockerfileParser(path=path).parent_images[0] == CPU
    assert DockerfileParser(path=path, build_args={"BASE_IMAGE": CUDA}).parent_images[0] == CUDA


def test_the_service_does_not_run_as_root(dockerfile: DockerfileParser) -> None:
    assert _values(dockerfile, "USER") == ["scatonline"]


def test_the_service_accepts_the_variables_of_the_image(
    dockerfile: DockerfileParser, deploy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {k: v for k, v in dockerfile.envs.items() if k.startswith(settings.PREFIX)}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    loaded = settings.load(deploy / "settings.example.yaml")

    assert (loaded.server.host, loaded.metrics.host) == ("0.0.0.0", "0.0.0.0")  # noqa: S104 - in a container
    assert _values(dockerfile, "EXPOSE") == [f"{loaded.server.port} {loaded.metrics.port}"]
    assert [str(loaded.storage.directory)] == _values(dockerfile, "VOLUME")


def test_the_command_is_one_that_the_service_has(dockerfile: DockerfileParser) -> None:
    assert _values(dockerfile, "ENTRYPOINT") == ['["scatonline"]']
    command, option, _path = json.loads(_values(dockerfile, "CMD")[0])

    shown = _scatonline(command, "--help")

    assert shown.returncode == 0, shown.stderr
    assert option in shown.stdout


def _scatonline(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as in the image, which is built without the extra for the demo."""
    absent = ("matplotlib", "nitime", "rich")
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({absent!r}));"
        "from service.cli import main; sys.exit(main())"
    )
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
