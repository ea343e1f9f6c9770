"""Every method, with every kind of credentials; what is refused, and what is told."""

import socket
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from grpc import StatusCode
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from service._generated import scatonline_pb2 as pb
from service.client import AsyncClient, Client, ClientError
from service.client.credentials import Tls, open_channel
from service.security.roles import LEAST, Role, least
from service.telemetry.entrance import REASONS
from tests.service.locked import Keys, locked_service, status_of
from tests.service.running import LocalService, counts, scrape, series, waveform

SERVICES = [
    service
    for file in (pb, health_pb2, reflection_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
]
METHODS = {
    f"/{service.full_name}/{method.name}": method
    for service in SERVICES
    for method in service.methods
}
RANK = {Role.PREDICT: 0, Role.UPDATE: 1, Role.ADMIN: 2}
REFUSED = {StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED}
STATUS = "/scatonline.v1.ScatOnline/Status"
UPDATE = "/scatonline.v1.ScatOnline/Update"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def service(keys: Keys) -> Iterator[LocalService]:
    with locked_service(keys) as service:
        yield service


@pytest.fixture(scope="module")
def channel(service: LocalService, keys: Keys) -> Iterator[grpc.Channel]:
    """Encrypted; each call brings its own headers."""
    with open_channel(service.address, tls=Tls(keys.roots)) as channel:
        yield channel


def outcome(
    channel: grpc.Channel,
    path: str,
    method: MethodDescriptor,
    *headers: str,
    timeout_s: float = 20.0,
) -> StatusCode:
    """How a call without content is answered; a stream is left after its first reply."""
    kinds: dict[tuple[bool, bool], Any] = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
        (True, True): channel.stream_stream,
    }
    ask = kinds[method.client_streaming, method.server_streaming](path, None, None)
    metadata = [("authorization", header) for header in headers]
    request: Any = iter([b""]) if method.client_streaming else b""
    try:
        reply = ask(request, metadata=metadata, timeout=timeout_s)
        if method.server_streaming:
            next(reply, None)
            reply.cancel()
    except grpc.RpcError as error:
        code: StatusCode = error.code()
        return code
    return StatusCode.OK


def test_every_method_of_every_service_has_a_role(channel: grpc.Channel, keys: Keys) -> None:
    listed = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(list_services="")]),
        metadata=[("authorization", f"Bearer {keys.held['predict']}")],
        timeout=20,
    )
    served = {each.name for each in next(listed).list_services_response.service}
    assert served == {service.full_name for service in SERVICES}
    assert METHODS.keys() - LEAST.keys() == set()


def test_the_table_names_no_method_that_is_gone() -> None:
    own = {path for path in LEAST if path.startswith("/scatonline.")}
    assert own - METHODS.keys() == set()


def test_a_method_that_is_in_no_table_needs_the_highest_role() -> None:
    assert least("/scatonline.v1.ScatOnline/NotYetThought0f") is Role.ADMIN


@pytest.mark.parametrize("path", sorted(METHODS))
def test_nobody_gets_in_without_a_token_that_holds(
    path: str, channel: grpc.Channel, keys: Keys
) -> None:
    good = keys.held["admin"]
    wrong = good[:-1] + ("A" if good[-1] != "A" else "B")
    without: dict[str, tuple[str, ...]] = {
        "none": (),
        "wrong": (f"Bearer {wrong}",),
        "empty": ("Bearer ",),
        "expired": (f"Bearer {keys.expired}",),
        "another scheme": (f"Basic {good}",),
        "no scheme": (good,),
        "two": (f"Bearer {good}", f"Bearer {good}"),
        "its digest": (f"Bearer {keys.entries()[2]['sha256']}",),
    }
    answers = {
        kind: outcome(channel, path, METHODS[path], *headers) for kind, headers in without.items()
    }
    assert answers == dict.fromkeys(without, StatusCode.UNAUTHENTICATED)


@pytest.mark.parametrize("path", sorted(METHODS))
def test_a_role_opens_what_the_table_says(path: str, channel: grpc.Channel, keys: Keys) -> None:
    method = METHODS[path]
    for role in Role:
        header = f"Bearer {keys.held[role.value]}"
        if RANK[role] >= RANK[least(path)]:
            # Who may watch waits for something to happen.
            assert outcome(channel, path, method, header, timeout_s=1.0) not in REFUSED, role
        else:
            assert outcome(channel, path, method, header) is StatusCode.PERMISSION_DENIED, role


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        (None, StatusCode.UNAUTHENTICATED),
        ("update", StatusCode.PERMISSION_DENIED),
        ("admin", StatusCode.UNIMPLEMENTED),
    ],
)
def test_only_who_may_do_everything_learns_that_a_method_does_not_exist(
    role: str | None, expected: StatusCode, service: LocalService, keys: Keys
) -> None:
    token = role and keys.held[role]
    assert status_of(service, "/a.Service/Method", token, Tls(keys.roots)) is expected


@pytest.mark.parametrize("request_", [b"\xff\xff", bytes(70 * 2**20)], ids=["garbage", "too large"])
def test_a_refused_request_is_neither_received_nor_decoded(
    request_: bytes, service: LocalService, keys: Keys
) -> None:
    answers = [
        status_of(service, UPDATE, token, Tls(keys.roots), request_)
        for token in (None, keys.held["predict"], keys.held["update"])
    ]
    assert answers[:2] == [StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED]
    assert answers[2] not in REFUSED


def test_a_message_over_the_limit_is_refused(service: LocalService, keys: Keys) -> None:
    just_over = bytes(64 * 2**20 + 1)
    answer = status_of(service, UPDATE, keys.held["update"], Tls(keys.roots), just_over)
    assert answer is StatusCode.RESOURCE_EXHAUSTED


def test_headers_over_the_limit_are_refused(channel: grpc.Channel) -> None:
    header = "Bearer " + "x" * 2**16
    assert outcome(channel, STATUS, METHODS[STATUS], header) is StatusCode.RESOURCE_EXHAUSTED


def test_an_error_does_not_repeat_all_that_came(service: LocalService, keys: Keys) -> None:
    with (
        Client(service.address, token=keys.held["predict"], tls=Tls(keys.roots)) as client,
        pytest.raises(ClientError, match="NOT_FOUND: ") as refused,
    ):
        client.predict("m" * 100_000, "day-1", waveform(0))
    assert 100 < len(refused.value.message) < 2000


def test_refusals_are_counted_by_reason(
    service: LocalService, channel: grpc.Channel, keys: Keys
) -> None:
    before = service.scrape()
    headers = {
        "missing": (),
        "malformed": ("Basic x",),
        "unknown": ("Bearer x",),
        "expired": (f"Bearer {keys.expired}",),
        "forbidden": (f"Bearer {keys.held['predict']}",),
    }
    assert headers.keys() == set(REASONS)
    for each in headers.values():
        outcome(channel, UPDATE, METHODS[UPDATE], *each)
    after = service.scrape()
    for reason in REASONS:
        key = series("scatonline_auth_failures_total", reason=reason)
        assert after[key] == before[key] + 1


def test_a_client_with_token_and_certificates_works_as_ever(
    service: LocalService, keys: Keys
) -> None:
    tls = Tls(keys.roots)
    with Client(service.address, token=keys.held["update"], tls=tls) as client:
        client.open_session("encoder", "day-1", ["u1", "u2"])
        assert client.update("encoder", "day-1", "s0", waveform(0), counts(0)).event == 2
        with client.stream() as stream:
            sent = [
                stream.update("encoder", "day-1", f"t{i}", waveform(i), counts(i)) for i in range(4)
            ]
            assert [future.result(20).event for future in sent] == [3, 4, 5, 6]
    with Client(service.address, token=keys.held["predict"], tls=tls) as client:
        client.predict("encoder", "day-1", waveform(0))
        with pytest.raises(ClientError, match="the role predict, expected one with the role updat"):
            client.label("encoder", "day-1", "s0", counts(0))


async def test_the_asynchronous_client_shows_its_token(service: LocalService, keys: Keys) -> None:
    tls = Tls(keys.roots)
    async with AsyncClient(service.address, token=keys.held["predict"], tls=tls) as client:
        assert list((await client.status()).models) == ["encoder"]
        with pytest.raises(ClientError, match="PERMISSION_DENIED"):
            await client.check_structure("encoder")
    async with AsyncClient(service.address, tls=tls) as client:
        with pytest.raises(ClientError, match="UNAUTHENTICATED: got no token"):
            await client.status()


def test_a_token_needs_no_encryption_within_this_machine(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    with locked_service(keys, security={"tokens": str(keys.tokens)}) as service:
        assert status_of(service, STATUS, keys.held["predict"], None) is StatusCode.OK
        assert status_of(service, STATUS, None, None) is StatusCode.UNAUTHENTICATED


def own_address() -> str:
    """An address of this machine that others could reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing: it only asks which address would be used.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network")
        name: str = probe.getsockname()[0]
    return name


def test_a_token_is_not_sent_to_another_address_in_plain_text(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    security = {"tokens": str(keys.tokens), "trust_network": True}
    anywhere = {"host": "0.0.0.0", "port": 0}  # noqa: S104
    with locked_service(keys, security=security, server=anywhere) as service:
        before = service.scrape()
        service.address = f"{own_address()}:{service.ports.grpc}"
        answer = status_of(service, STATUS, keys.held["predict"], None)
        assert answer is StatusCode.UNAVAILABLE
        turned_away = [key for key in before if key[0] == "scatonline_auth_failures_total"]
        assert [service.scrape()[key] for key in turned_away] == [0] * len(REASONS)


def test_the_metrics_page_is_for_this_machine_by_default(service: LocalService) -> None:
    assert series("scatonline_models") in scrape(service.ports.metrics)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((own_address(), service.ports.metrics), timeout=5)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((own_address(), service.ports.grpc), timeout=5)


def test_methods_of_all_four_kinds_are_tried() -> None:
    kinds = {(method.client_streaming, method.server_streaming) for method in METHODS.values()}
    assert kinds == set(product((False, True), repeat=2))
