"""Whatever comes in: the service answers clearly, lives on, and its models stay as they were."""

import hashlib
import json
import os
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service._generated import scatonline_pb2 as pb
from service.client import Client
from service.engine.export import MAGIC
from service.engine.packing import pack
from tests.service.running import ENCODER, counts, server_process, settings_values, waveform

SERVICE = pb.DESCRIPTOR.services_by_name["ScatOnline"]
METHODS = {method.name: method for method in SERVICE.methods}
REQUESTS = 10_000
AT_A_TIME = 10
REFUSALS = {
    StatusCode.INVALID_ARGUMENT,
    StatusCode.NOT_FOUND,
    StatusCode.ALREADY_EXISTS,
    StatusCode.FAILED_PRECONDITION,
    StatusCode.RESOURCE_EXHAUSTED,
}
CODES = {code.value[0]: code for code in StatusCode}
# What changes a model when it is answered; the others only read.
CHANGING = {"OpenSession", "Update", "Label", "CheckStructure", "Stream"}
# These are valid if only the name is, so the name never is.
BY_NAME_ALONE = {"Freeze", "Resume", "Rollback", "ImportModel"}
MODELS = ("encoder", "decoder")

# --- requests, from the descriptors ---------------------------------------------------------------
# What is drawn from is made once: Hypothesis would spend more time on making it than on drawing.

TENTHS = st.integers(0, 9)
DAMAGE = st.binary(min_size=1, max_size=2)
NONSENSE = st.binary(max_size=40)
NAMES = ("day-1", "known", "waiting", "unit-1", "unit-2")
TEXTS = st.one_of(
    st.sampled_from(("", *NAMES, *MODELS, "x" * 257, "é" * 129, "😀" * 900, "a\0b", "../..", "\n")),
    st.text(max_size=8),
)
FLOATS = np.array([1, 2], dtype="<f4").tobytes()
CONTENTS = st.one_of(
    st.sampled_from(
        (b"", FLOATS, waveform(1).tobytes(), bytes(256), b"\xff" * 256, b"\0\0\x80\x7f" * 64)
    ),
    st.binary(max_size=16),
)
ODD_SPECIFICATIONS = (
    "2001-99-99",
    "!!timestamp x",
    "!!int ''",
    "!!float x",
    "&a [*a]",
    "9" * 5000,
    "{? [1]: 2}",
    "{1: 2}",
    "name: !!python/object:os.system x",
    "\0",
    "---\na: 1\n---\nb: 2",
    "[" * 5000,
    f"name: new\nshape: [64]\nchannels: 0x{'f' * 5000}",
)
NUMBERS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_UINT32: st.sampled_from((0, 1, 2, 64, 255, 2**31, 2**32 - 1)),
    FieldDescriptor.TYPE_UINT64: st.sampled_from((0, 1, 2, 2**32, 2**53, 2**63, 2**64 - 1)),
    FieldDescriptor.TYPE_DOUBLE: st.sampled_from(
        (0.0, -1.0, 1e300, float("nan"), float("inf"), float("-inf"))
    ),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_ENUM: st.sampled_from((0, 1, 1, 1, 2, 7, 8, -1, 2**31 - 1, -(2**31))),
    FieldDescriptor.TYPE_STRING: TEXTS,
    FieldDescriptor.TYPE_BYTES: CONTENTS,
}


PLACES = st.sampled_from([("bank",), *((key,) for key in ENCODER), ("bank", "J"), ("new",)])
JUNK: st.SearchStrategy[Any] = st.sampled_from(
    (None, -1, 0, 10**30, 1e308, "x", [], {}, [[]], True, "é" * 300)
)


@st.composite
def specifications(draw: st.DrawFn) -> str:
    """A good specification with one key that is something else."""
    specification = json.loads(json.dumps(ENCODER))
    *path, last = draw(PLACES)
    section = specification
    for key in path:
        section = section[key]
    section[last] = draw(JUNK)
    return json.dumps(specification)


SPECIAL: dict[str, st.SearchStrategy[Any]] = {
    "scatonline.v1.CreateModelRequest.specification": st.one_of(
        st.sampled_from(ODD_SPECIFICATIONS), specifications(), TEXTS
    ),
    # A prediction would wait for what never comes until its deadline.
    "scatonline.v1.PredictRequest.at_least_event": st.sampled_from((0, 1)),
    "scatonline.v1.Tensor.shape": st.sampled_from(
        ([1, 64], [64], [2], [], [0], [1, 0], [2**32 - 1] * 40, [1] * 200, [2**31, 2])
    ),
}


@cache
def choices(*values: Any) -> st.SearchStrategy[Any]:
    """One of them."""
    return st.sampled_from(values)


@cache
def values_of(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """What a field may be given."""
    if field.message_type is not None:
        return messages(field.message_type)
    if field.is_repeated:
        return SPECIAL.get(field.full_name, st.lists(NUMBERS[field.type], max_size=3))
    if field.name == "model":
        return st.one_of(choices(*MODELS), TEXTS)
    return SPECIAL.get(field.full_name, NUMBERS[field.type])


@cache
def messages(kind: Descriptor) -> st.SearchStrategy[Message]:
    """Messages with fields at their limits, beyond them, or not there."""
    return _messages(kind)


@st.composite
def _messages(draw: st.DrawFn, kind: Descriptor) -> Message:
    message = GetMessageClass(kind)()
    left_out = {
        name
        for choice in kind.oneofs
        if len(choice.fields) > 1
        for name in _all_but_one(draw, [field.name for field in choice.fields])
    }
    for field in kind.fields:
        if field.name in left_out or draw(TENTHS) == 0:
            continue
        value = draw(values_of(field))
        if field.message_type is not None:
            getattr(message, field.name).CopyFrom(value)
        elif field.is_repeated:
            getattr(message, field.name).extend(value)
        else:
            setattr(message, field.name, value)
    return message


def _all_but_one(draw: st.DrawFn, names: list[str]) -> set[str]:
    return set(names) - {draw(choices(*names))}


@cache
def contents(method: MethodDescriptor) -> st.SearchStrategy[list[bytes]]:
    """The bytes of a call's requests: of messages, as they are or damaged, or any."""
    most = 3 if method.client_streaming else 1
    least = 0 if method.client_streaming else 1
    return st.lists(_contents(method), min_size=least, max_size=most)


@st.composite
def _contents(draw: st.DrawFn, method: MethodDescriptor) -> bytes:
    message = draw(messages(method.input_type))
    if method.name in BY_NAME_ALONE and message.model in MODELS:  # type: ignore[attr-defined]
        message.model += "?"  # type: ignore[attr-defined]
    whole = message.SerializeToString()
    place = draw(st.integers(0, max(len(whole) - 1, 0)))
    match draw(TENTHS):
        case 0:
            return whole[:place]
        case 1:
            return whole[:place] + draw(DAMAGE) + whole[place + 1 :]
        case 2:
            # Fields that no version has.
            return whole + b"\xfa\x3f\x03abc"
        case 3:
            return draw(NONSENSE)
        case _:
            return whole


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """A method and the bytes of its requests."""
    method = draw(choices(*SERVICE.methods))
    return method.name, draw(contents(method))


# --- a service, and what it says to them ----------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """How one request was answered."""

    code: StatusCode
    message: str


class Target:
    """A service in a process of its own: a crash is seen, not shared."""

    def __init__(self, address: str, client: Client) -> None:
        self.address = address
        self._client = client
        self._channel = grpc.insecure_channel(address, [("grpc.enable_retries", 0)])

    def close(self) -> None:
        self._channel.close()

    def hashes(self) -> dict[str, str]:
        status = self._client.status(include_state_hash=True)
        return {name: model.state_hash for name, model in status.models.items()}

    def send(self, name: str, contents: list[bytes]) -> list[Answer]:
        """The answer to a request, or to all of a stream."""
        method = METHODS[name]
        path = f"/{SERVICE.full_name}/{name}"
        sent: Any = iter(contents) if method.client_streaming else contents[0]
        kind = f"{_kind(method.client_streaming)}_{_kind(method.server_streaming)}"
        reply = pb.StreamReply.FromString if name == "Stream" else None
        call = getattr(self._channel, kind)(path, None, reply)
        told = []
        try:
            if not method.server_streaming:
                call(sent, timeout=20)
            elif name == "Watch":
                _watch(call(sent, timeout=20), contents[0])
            else:
                told = [_told(each) for each in call(sent, timeout=20) if name == "Stream"]
        except grpc.RpcError as error:
            return [*told, Answer(error.code(), error.details() or "")]
        return [*told, Answer(StatusCode.OK, "")]


def _kind(streaming: bool) -> str:
    return "stream" if streaming else "unary"


def _watch(call: Any, content: bytes) -> None:
    """Waits for a watch that may begin to do so, and for any other to be refused."""
    try:
        begins = set(pb.WatchRequest.FromString(content).models) <= set(MODELS)
    except DecodeError:
        begins = False
    if begins:
        call.initial_metadata()
        call.cancel()
    else:
        next(call)


def _told(reply: pb.StreamReply) -> Answer:
    if reply.HasField("fault"):
        return Answer(CODES[reply.fault.code], reply.fault.message)
    return Answer(StatusCode.OK, "")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("fuzzed")
    # As many models and sessions as there may be: what is well formed is refused, too.
    values = settings_values(folder, limits={"models": 2, "sessions": 1}, log={"format": "json"})
    with server_process(folder, values) as server, Client(server.address) as client:
        client.open_session("encoder", "day-1", ["unit-1", "unit-2"])
        client.open_session("decoder", "day-1", ["rest", "fist", "point"])
        client.update("encoder", "day-1", "known", waveform(1), counts(1))
        client.update("encoder", "day-1", "waiting", waveform(2))
        target = Target(server.address, client)
        yield target
        target.close()
        assert server.process.poll() is None, "the service has crashed"
        log = (folder / "log.txt").read_text()
        assert "Traceback" not in log, log
        assert '"level": "error"' not in log, log


def is_clear(answer: Answer) -> bool:
    """Whether an answer is foreseen and, if it refuses, says what was expected."""
    if answer.code is StatusCode.OK:
        return True
    says = any(word in answer.message for word in ("expected", "was sent before", "no longer"))
    return answer.code in REFUSALS and (answer.code not in _MUST_SAY or says)


_REACHED = (StatusCode.INVALID_ARGUMENT, StatusCode.NOT_FOUND, StatusCode.FAILED_PRECONDITION)
_MUST_SAY = {StatusCode.INVALID_ARGUMENT, StatusCode.NOT_FOUND, StatusCode.RESOURCE_EXHAUSTED}


@pytest.mark.slow
def test_nothing_that_is_sent_crashes_confuses_or_changes_the_service(target: Target) -> None:
    seen: Counter[StatusCode] = Counter()
    hashes = target.hashes()

    @settings(
        max_examples=REQUESTS // AT_A_TIME,
        # The same ten thousand on every machine; FUZZ_ANEW draws others.
        derandomize="FUZZ_ANEW" not in os.environ,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.lists(requests(), min_size=AT_A_TIME, max_size=AT_A_TIME))
    def check(batch: list[tuple[str, list[bytes]]]) -> None:
        nonlocal hashes
        changed = False
        for name, sent in batch:
            for answer in target.send(name, sent):
                assert is_clear(answer), (name, sent, answer)
                seen[answer.code] += 1
                changed |= answer.code is StatusCode.OK and name in CHANGING
        before, hashes = hashes, target.hashes()
        assert changed or hashes == before

    check()
    assert seen.total() >= REQUESTS
    # Each of these was reached: what was sent was neither all nonsense nor all good.
    assert min(seen[code] for code in _REACHED) > 0, seen


# --- single requests ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_what_cannot_be_decoded_is_refused_in_plain_words(target: Target, name: str) -> None:
    before = target.hashes()
    answer = target.send(name, [b"\xff"])[-1]
    assert answer.code is StatusCode.INVALID_ARGUMENT
    assert f"got 1 bytes that are no request of /{SERVICE.full_name}/{name}" in answer.message
    assert "google" not in answer.message
    assert target.hashes() == before


def test_a_text_that_is_no_utf8_is_refused(target: Target) -> None:
    answer = target.send("Predict", [b"\x0a\x02\xff\xfe"])[-1]
    assert answer.code is StatusCode.INVALID_ARGUMENT
    assert "with texts in UTF-8" in answer.message


def test_a_stream_answers_what_came_before_something_that_cannot_be_decoded(
    target: Target,
) -> None:
    answered = threading.Event()

    def sent() -> Iterator[bytes]:
        yield pb.StreamRequest(number=7).SerializeToString()
        assert answered.wait(20)
        yield b"\xff"

    with grpc.insecure_channel(target.address) as channel:
        path = f"/{SERVICE.full_name}/Stream"
        replies: Any = channel.stream_stream(path, None, pb.StreamReply.FromString)(
            sent(), timeout=20
        )
        assert next(replies).number == 7
        answered.set()
        with pytest.raises(grpc.RpcError) as refused:
            next(replies)
    assert refused.value.code() is StatusCode.INVALID_ARGUMENT
    assert "got 1 bytes that are no request" in (refused.value.details() or "")


def test_a_long_name_in_any_script_is_quoted_in_part(target: Target) -> None:
    """A reply whose headers are too long is dropped, and each of these takes twelve bytes there."""
    answer = target.send("Freeze", [pb.FreezeRequest(model="😀" * 5000).SerializeToString()])[-1]
    assert answer.code is StatusCode.NOT_FOUND
    assert answer.message.startswith("model: got '😀")
    assert answer.message.endswith("expected one of decoder, encoder")


@pytest.mark.parametrize("text", ODD_SPECIFICATIONS, ids=lambda text: text[:12])
def test_an_odd_specification_is_refused(target: Target, text: str) -> None:
    request = pb.CreateModelRequest(specification=text)
    answer = target.send("CreateModel", [request.SerializeToString()])[-1]
    assert answer.code is StatusCode.INVALID_ARGUMENT
    assert "specification" in answer.message


def test_a_specification_that_grows_when_it_is_written_out_is_refused(target: Target) -> None:
    """A billion elements in a few lines, each of which names the one before ten times."""
    lines = ["- &a0 [x]"] + [f"- &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    request = pb.CreateModelRequest(specification="\n".join(lines))
    answer = target.send("CreateModel", [request.SerializeToString()])[-1]
    assert answer.code is StatusCode.INVALID_ARGUMENT


def test_sequence_numbers_cannot_overflow_the_count_of_what_is_missing(target: Target) -> None:
    x = pb.Tensor(data=waveform(9).tobytes(), dtype=pb.DTYPE_FLOAT32, shape=[1, 64])
    request = pb.UpdateRequest(
        model="encoder", session="day-1", sample_id="far", input=x, sequence=2**64 - 1
    )
    answer = target.send("Update", [request.SerializeToString()])[-1]
    assert answer.code is StatusCode.INVALID_ARGUMENT
    assert "sequence: got 18446744073709551615, expected" in answer.message


def whole_file(content: bytes) -> bytes:
    return MAGIC + hashlib.sha256(content).digest() + content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        pack({}, {}),
        pack({"event": 1}, {"service": np.zeros(0, np.uint8)}),
        pack(
            {"event": 1, "spec": {}, "meta": {}, "written_s": 0.0},
            {"service": np.zeros(0, np.uint8)},
        ),
        pack(
            {"event": 1, "spec": ENCODER, "meta": {"shadow": None}, "written_s": 0.0},
            {"service": np.zeros(0, np.uint8)},
        ),
        pack(
            {"event": "x", "spec": [], "meta": 5, "written_s": None},
            {"service": np.zeros(0, np.uint8)},
        ),
    ],
    ids=["empty", "nonsense", "nothing in it", "event", "no spec", "no state", "other types"],
)
@pytest.mark.parametrize("replace", [True, False], ids=["replace", "make"])
def test_a_whole_file_of_something_else_is_no_model(
    target: Target, content: bytes, replace: bool
) -> None:
    before = target.hashes()
    request = pb.ImportModelRequest(model="encoder", replace=replace, data=whole_file(content))
    answer = target.send("ImportModel", [request.SerializeToString()])[-1]
    assert answer.code in REFUSALS, answer
    assert target.hashes() == before


# --- connections that speak something else --------------------------------------------------------

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, content: bytes, flags: int = 0, stream: int = 0, length: int = -1) -> bytes:
    """One HTTP/2 frame, which may lie about its length."""
    size = len(content) if length < 0 else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + content


GARBAGE: dict[str, Callable[[random.Random], bytes]] = {
    "nothing": lambda _: b"",
    "http/1": lambda _: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls": lambda chance: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(508),
    "random": lambda chance: chance.randbytes(4096),
    "frames": lambda chance: (
        PREFACE + b"".join(frame(kind, chance.randbytes(9), stream=kind) for kind in range(16))
    ),
    "a long frame": lambda _: PREFACE + frame(4, b"") + frame(0, b"", stream=1, length=2**24 - 1),
    "headers": lambda chance: (
        PREFACE + frame(4, b"") + frame(1, chance.randbytes(400), flags=5, stream=1)
    ),
    "pings": lambda _: PREFACE + frame(4, b"") + frame(6, bytes(8)) * 5000,
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_a_connection_that_speaks_something_else_disturbs_nobody(target: Target, kind: str) -> None:
    before = target.hashes()
    chance = random.Random(kind)
    host, port = target.address.rsplit(":", 1)
    for _ in range(8):
        # The service may end the connection at any moment.
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=5) as talk:
            talk.sendall(GARBAGE[kind](chance))
            talk.settimeout(0.2)
            talk.recv(4096)
    assert target.hashes() == before
