"""The file of tokens: what is refused, and how it changes while the service runs."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
import yaml
from grpc import StatusCode

from service._generated import scatonline_pb2 as pb
from service._generated import scatonline_pb2_grpc
from service.client import Client, ClientError
from service.client.credentials import Tls, open_channel
from service.errors import SettingsError
from service.security import tokens
from service.security.callers import Callers
from service.security.roles import Role
from tests.service.locked import Keys, entry, locked_service, status_of, write_private
from tests.service.running import (
    LocalService,
    counts,
    series,
    waveform,
)

PREDICT = "/scatonline.v1.ScatOnline/Predict"
STATUS = "/scatonline.v1.ScatOnline/Status"
# As `tokens.make` gives one, but the same in every process that collects these tests.
SECRET = "Vd3k0pX9sQ7mZ2rT5yB8nC1fG4hJ6lW_aE-uRiOxPqM"  # noqa: S105 (opens nothing)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


@pytest.fixture
def service(keys: Keys) -> Iterator[LocalService]:
    with locked_service(keys) as service:
        yield service


def broken_file() -> list[tuple[str, str]]:
    """Contents that are refused, each with the secret in it, and what is said."""
    good = entry("a", "admin", "x")
    return [
        ("", "expected a list of entries"),
        (f"{SECRET}\n", "expected a list of entries"),
        (f"tokens: {SECRET}\n", "expected a list of entries"),
        (f"- name: [{SECRET}\n", "line 2: not valid YAML"),
        (f"- {SECRET}\n", "entry 0: "),
        (yaml.safe_dump([{**good, SECRET: 1}]), "entry 0: got an unknown key, expected name, role"),
        (yaml.safe_dump([{**good, "sha256": SECRET}]), "entry 0, sha256: String should match"),
        (yaml.safe_dump([{**good, "sha256": good["sha256"].upper()}]), "entry 0, sha256: "),
        (yaml.safe_dump([{**good, "role": SECRET}]), "entry 0, role: .*'predict', 'update' or"),
        (yaml.safe_dump([{**good, "name": f"a {SECRET}"}]), "entry 0, name: String should match"),
        (yaml.safe_dump([{**good, "expires": SECRET}]), "entry 0, expires: "),
        (yaml.safe_dump([{**good, "expires": datetime(2030, 1, 1)}]), "should have timezone"),  # noqa: DTZ001
        (yaml.safe_dump([good, {**good, "name": "b"}]), "got a sha256 twice"),
        (yaml.safe_dump([good, entry("a", "predict", "y")]), "got a name twice"),
        (yaml.safe_dump([{"name": SECRET, "role": "admin"}]), "entry 0, sha256: Field required"),
    ]


@pytest.mark.parametrize(("content", "message"), broken_file())
def test_a_wrong_file_is_refused_without_quoting_it(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "tokens.yaml"
    write_private(path, content.encode())
    with pytest.raises(SettingsError, match=message) as refused:
        tokens.read(path)
    assert str(path) in str(refused.value)
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_a_file_that_others_can_use_is_refused(keys: Keys, mode: int) -> None:
    keys.tokens.chmod(mode)
    with pytest.raises(SettingsError, match=rf"mode 0{mode:o}.*chmod go-rwx {keys.tokens}"):
        tokens.Tokens(keys.tokens)


def test_a_file_of_another_user_is_refused(keys: Keys) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(keys.tokens, 12345, -1)
    with pytest.raises(SettingsError, match="belongs to user 12345, expected user 0"):
        tokens.Tokens(keys.tokens)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"security.tokens: .*none.yaml cannot be read: No such"
    ):
        tokens.Tokens(tmp_path / "none.yaml")


def test_a_token_is_known_by_its_digest_alone(keys: Keys) -> None:
    known = tokens.Tokens(keys.tokens)
    found = known.find(keys.held["update"])
    assert found is not None
    assert (found.name, found.role) == ("update", Role.UPDATE)
    assert known.find(found.sha256) is None
    assert known.find("") is None
    assert keys.held["update"] not in keys.tokens.read_text()


def test_a_token_holds_until_the_moment_it_expires(keys: Keys) -> None:
    def refused(expires: datetime) -> str | None:
        keys.write_tokens(entry("a", "predict", "token", expires=expires))
        refusal = callers.refusal(PREDICT, [("authorization", "bearer token")])
        return None if refusal is None else refusal.reason

    callers = Callers(tokens.Tokens(keys.tokens))
    now = datetime.now(UTC)
    assert refused(now + timedelta(minutes=1)) is None
    assert refused(now - timedelta(seconds=1)) == "expired"


def test_roles_include_those_below() -> None:
    assert [[a.covers(b) for b in Role] for a in Role] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_tokens_come_and_go_without_a_restart(service: LocalService, keys: Keys) -> None:
    tls = Tls(keys.roots)
    first, second = keys.held["predict"], tokens.make()
    assert status_of(service, STATUS, second, tls) is StatusCode.UNAUTHENTICATED
    keys.write_tokens(*keys.entries(), entry("second", "predict", second))
    assert status_of(service, STATUS, second, tls) is StatusCode.OK
    keys.write_tokens(entry("second", "predict", second))
    assert status_of(service, STATUS, first, tls) is StatusCode.UNAUTHENTICATED
    assert status_of(service, STATUS, second, tls) is StatusCode.OK


@pytest.mark.parametrize("slip", ["broken", "open to others", "gone"])
def test_a_slip_in_the_file_changes_nothing_and_is_told(
    service: LocalService, keys: Keys, slip: str
) -> None:
    tls, held = Tls(keys.roots), keys.held["predict"]
    count = series("scatonline_security_files_refused_total", file="tokens")
    assert service.scrape()[count] == 0
    match slip:
        case "broken":
            keys.write_raw_tokens("- name: [")
        case "open to others":
            keys.tokens.chmod(0o644)
        case _:
            keys.tokens.unlink()
    for _ in range(3):
        assert status_of(service, STATUS, held, tls) is StatusCode.OK
        assert status_of(service, STATUS, None, tls) is StatusCode.UNAUTHENTICATED
    assert service.scrape()[count] == 1
    keys.write_tokens(entry("new", "admin", "new"))
    assert status_of(service, STATUS, held, tls) is StatusCode.UNAUTHENTICATED
    assert status_of(service, STATUS, "new", tls) is StatusCode.OK


def test_an_open_stream_ends_when_its_token_is_withdrawn(service: LocalService, keys: Keys) -> None:
    answered = threading.Event()

    def requests() -> Iterator[pb.StreamRequest]:
        yield pb.StreamRequest(number=1)
        assert answered.wait(20)
        keys.write_tokens(*(each for each in keys.entries() if each["name"] != "update"))
        yield pb.StreamRequest(number=2)
        yield pb.StreamRequest(number=3)

    with open_channel(service.address, token=keys.held["update"], tls=Tls(keys.roots)) as channel:
        stub = scatonline_pb2_grpc.ScatOnlineStub(channel)
        replies = iter(stub.Stream(requests(), timeout=20))
        assert next(replies).number == 1
        answered.set()
        with pytest.raises(grpc.RpcError) as ended:
            next(replies)
    assert ended.value.code() is StatusCode.UNAUTHENTICATED
    assert service.scrape()[series("scatonline_auth_failures_total", reason="unknown")] == 1


def test_an_update_after_the_token_was_withdrawn_is_not_learned(
    service: LocalService, keys: Keys
) -> None:
    tls = Tls(keys.roots)
    with Client(service.address, token=keys.held["update"], tls=tls) as client:
        client.open_session("encoder", "day-1", ["u1", "u2"])
        with client.stream(in_flight=1) as stream:
            before = stream.update("encoder", "day-1", "s0", waveform(0), counts(0)).result(20)
            keys.write_tokens(*(each for each in keys.entries() if each["name"] != "update"))
            refused = stream.update("encoder", "day-1", "s1", waveform(1), counts(1))
            with pytest.raises(ClientError, match="UNAUTHENTICATED"):
                refused.result(20)
    with Client(service.address, token=keys.held["admin"], tls=tls) as client:
        assert client.status().models["encoder"].event == before.event


def test_no_token_reaches_the_log(keys: Keys, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = tokens.make()
    with locked_service(keys, security={"tokens": str(keys.tokens)}) as service:
        for token in (*keys.held.values(), keys.expired, wrong):
            for method in (STATUS, PREDICT, "/a.Service/Method"):
                status_of(service, method, token, None, b"\xff")
        keys.write_raw_tokens(yaml.safe_dump([{**keys.entries()[0], "sha256": wrong}]))
        assert status_of(service, STATUS, keys.held["predict"], None) is StatusCode.OK
    log = "".join(capfd.readouterr())
    told = ("reason", "unknown", "expired", "forbidden", "security_files_refused", "sha256: String")
    assert [word for word in told if word not in log] == []
    secrets = (*keys.held.values(), keys.expired, wrong)
    assert [secret for secret in secrets if secret in log] == []


def token_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", "token", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_command_makes_a_token_and_its_entry(tmp_path: Path) -> None:
    made = token_command("--name", "rig-1", "--role", "update", "--days", "30")
    assert made.returncode == 0, made.stderr
    token = re.findall(r"^The token, shown only now: (\S{43})$", made.stderr, re.MULTILINE)
    path = tmp_path / "tokens.yaml"
    write_private(path, made.stdout.encode())
    found = tokens.Tokens(path).find(token[0])
    assert found is not None
    assert (found.name, found.role, found.expired) == ("rig-1", Role.UPDATE, False)
    assert found.expires is not None
    left = found.expires - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)
    assert token[0] not in made.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--name", "rig 1", "--role", "update"), "--name: got 'rig 1'"),
        (("--name", "rig-1", "--role", "update", "--days", "0"), "--days: got 0, expected 1 to"),
        (("--name", "rig-1", "--role", "owner"), "invalid choice: 'owner'"),
    ],
)
def test_the_command_refuses_what_the_file_would_not_take(
    arguments: tuple[str, ...], message: str
) -> None:
    refused = token_command(*arguments)
    assert refused.returncode > 0
    assert message in refused.stderr
    assert refused.stdout == ""
