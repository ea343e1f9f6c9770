"""How both clients connect."""

from service.client.credentials import Options
from service.client.retries import CONNECT_S, FIRST_PAUSE_S, LONGEST_PAUSE_S

SILENCE_S = 20.0
"""Seconds of silence after which a service that owes an answer is asked whether it is there."""
ANSWER_S = 10.0
"""Seconds that it has to say so."""


def channel_options(max_message_bytes: int) -> Options:
    """Options of a gRPC channel; `max_message_bytes` as in the service's settings."""
    return (
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.initial_reconnect_backoff_ms", _ms(FIRST_PAUSE_S)),
        ("grpc.min_reconnect_backoff_ms", _ms(CONNECT_S)),
        ("grpc.max_reconnect_backoff_ms", _ms(LONGEST_PAUSE_S)),
        # Without it a network that goes silent, or a machine that is switched off, looks like a
        # service that is thinking.
        ("grpc.keepalive_time_ms", _ms(SILENCE_S)),
        ("grpc.keepalive_timeout_ms", _ms(ANSWER_S)),
        # gRPC asks at other times too, and would wait a minute for that answer first.
        ("grpc.http2.ping_timeout_ms", _ms(ANSWER_S)),
        ("grpc.http2.max_pings_without_data", 0),
    )


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
