"""The compose files, against the files and ports that they name."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile_parse import DockerfileParser

from service import settings
from service.errors import SettingsError
from service.security.entrance import refuse_open_door

Tree = dict[str, Any]


class _Compose(yaml.SafeLoader):
    """Knows the tag by which a list takes another's place when files are laid over each other."""


def _sequence(loader: _Compose, node: yaml.Node) -> list[Any]:
    assert isinstance(node, yaml.SequenceNode)
    return loader.construct_sequence(node)


_Compose.add_constructor("!override", _sequence)


def _read(path: Path) -> Tree:
    tree = yaml.load(path.read_text(encoding="utf-8"), _Compose)  # noqa: S506 (a safe loader)
    assert isinstance(tree, dict)
    return tree


@pytest.fixture(scope="module")
def compose(deploy: Path) -> Tree:
    return _read(deploy / "compose.yaml")


@pytest.fixture(scope="module")
def mounts(compose: Tree) -> dict[str, dict[str, str]]:
    """Service → path in the container → what lies there."""
    return {
        name: {target: source for source, target, *_ in map(_fields, each["volumes"])}
        for name, each in compose["services"].items()
    }


def _fields(mount: str) -> list[str]:
    return mount.split(":")


def test_mounted_files_exist_and_volumes_are_declared(
    compose: Tree, mounts: dict[str, dict[str, str]], deploy: Path
) -> None:
    sources = [source for service in mounts.values() for source in service.values()]
    missing = [
        source
        for source in sources
        if not (
            (deploy / source).exists() if source.startswith(".") else source in compose["volumes"]
        )
    ]
    assert sources
    assert missing == []


def test_the_image_is_built_from_the_root_of_the_checkout(
    compose: Tree, deploy: Path, repository: Path
) -> None:
    build = compose["services"]["scatonline"]["build"]
    assert (deploy / build["context"]).resolve() == repository
    assert (repository / build["dockerfile"]).is_file()


def test_no_port_is_open_to_other_machines(compose: Tree) -> None:
    ports = [port for each in compose["services"].values() for port in each["ports"]]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_a_stop_leaves_time_to_drain(compose: Tree, deploy: Path) -> None:
    grace_s = float(compose["services"]["scatonline"]["stop_grace_period"].removesuffix("s"))
    assert grace_s >= 2 * settings.load(deploy / "settings.example.yaml").server.drain_s


def test_prometheus_scrapes_the_metrics_port_of_the_service(compose: Tree, deploy: Path) -> None:
    jobs = _read(deploy / "prometheus" / "prometheus.yml")["scrape_configs"]
    targets = [
        target for job in jobs for each in job["static_configs"] for target in each["targets"]
    ]
    port = settings.load(deploy / "settings.example.yaml").metrics.port
    assert targets == [f"scatonline:{port}"]
    assert "scatonline" in compose["services"]


def test_prometheus_finds_its_rules(deploy: Path, mounts: dict[str, dict[str, str]]) -> None:
    for name in _read(deploy / "prometheus" / "prometheus.yml")["rule_files"]:
        assert f"/etc/prometheus/{name}" in mounts["prometheus"]


def test_grafana_finds_its_data_source_and_dashboards(
    compose: Tree, deploy: Path, mounts: dict[str, dict[str, str]]
) -> None:
    provisioning = deploy / "grafana" / "provisioning"
    (source,) = _read(provisioning / "datasources" / "prometheus.yaml")["datasources"]
    (provider,) = _read(provisioning / "dashboards" / "scatonline.yaml")["providers"]
    folder = provider["options"]["path"]

    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in compose["services"]
    home = compose["services"]["grafana"]["environment"][
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"
    ]
    assert (deploy / mounts["grafana"][folder] / Path(home).relative_to(folder)).is_file()


def test_the_gpu_file_changes_only_the_service(deploy: Path) -> None:
    overlay = _read(deploy / "compose.gpu.yaml")
    assert list(overlay["services"]) == ["scatonline"]
    service = overlay["services"]["scatonline"]
    assert service["build"]["args"]["BASE_IMAGE"].startswith("nvidia/cuda:")
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def _started(deploy: Path, monkeypatch: pytest.MonkeyPatch, *overlays: str) -> settings.Settings:
    """The settings of the container, by the image's variables and those of compose files."""
    variables: dict[str, str] = dict(DockerfileParser(path=str(deploy / "Dockerfile")).envs)
    for name in overlays:
        variables |= _read(deploy / name)["services"]["scatonline"]["environment"]
    for name, value in variables.items():
        if name.startswith(settings.PREFIX):
            monkeypatch.setenv(name, value)
    return settings.load(deploy / "settings.example.yaml")


def test_the_image_by_itself_opens_no_door(deploy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = _started(deploy, monkeypatch)
    with pytest.raises(SettingsError, match=r"server\.host: got 0\.0\.0\.0"):
        refuse_open_door(bare.security, bare.server.host)


@pytest.mark.parametrize(
    ("files", "locked"),
    [(("compose.yaml",), False), (("compose.yaml", "compose.locked.yaml"), True)],
)
def test_the_service_starts_behind_its_door(
    deploy: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[str, ...], locked: bool
) -> None:
    started = _started(deploy, monkeypatch, *files)
    refuse_open_door(started.security, started.server.host)
    assert started.security.trust_network is not locked
    assert (started.security.tokens is not None) is locked


def test_the_locked_service_finds_its_keys(deploy: Path) -> None:
    service = _read(deploy / "compose.locked.yaml")["services"]["scatonline"]
    ((_, folder, mode),) = map(_fields, service["volumes"])
    assert mode == "ro"
    files = [value for value in service["environment"].values() if value.startswith("/")]
    assert len(files) == 5
    assert [file for file in files if str(Path(file).parent) != folder] == []


def test_only_calls_are_open_to_other_machines_when_locked(deploy: Path) -> None:
    service = _read(deploy / "compose.locked.yaml")["services"]["scatonline"]
    opened = [port for port in service["ports"] if not port.startswith("127.0.0.1:")]
    assert opened == ["50051:50051"]
