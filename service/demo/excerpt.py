"""Which part of a recording a demo streams."""

from collections.abc import Sequence

from service.recordings import RecordedSample, Recording


def excerpt(recording: Recording, samples: int) -> Sequence[RecordedSample]:
    """The beginning of every session, in equal shares, so that a short stream sees them all.

    A session goes on past its share until the labels of all its samples have arrived.

    Args:
        recording: Where the samples come from.
        samples: How many there should be; the whole recording if it has no more.
    """
    if samples >= len(recording):
        return list(recording)
    share = -(-samples // len(recording.sessions))
    taken = {session.id: 0 for session in recording.sessions}
    waiting = dict.fromkeys(taken, 0)
    chosen: list[RecordedSample] = []
    for sample in recording:
        if taken[sample.session] >= share and not waiting[sample.session]:
            continue
        chosen.append(sample)
        taken[sample.session] += 1
        waiting[sample.session] += (sample.target is None) - len(sample.labels)
    return chosen
