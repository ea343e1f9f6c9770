"""Layout "images": single images and the class of each."""

from collections.abc import Iterator

import numpy as np

from service.recordings.arrays import (
    Arrays,
    class_labels,
    numeric_input,
    one_hot,
    same_length,
    unit_scale,
)
from service.recordings.presentation import presentation_order
from service.recordings.recording import RecordedSample, RecordedSession, Recording


def read_images(name: str, arrays: Arrays) -> Recording:
    """2-D decoding: image to class, the label known at once.

    Args:
        name: The recording's name; its only session is called the same.
        arrays: `images` `(T, H, W)`, `labels` `(T,)`, optionally `label_names`.

    Raises:
        RecordingError: The arrays contradict each other.
    """
    same_length("images", "labels", arrays)
    images = numeric_input("images", arrays["images"])
    labels, classes = class_labels(arrays, len(images))
    order, note = presentation_order(labels)

    def samples() -> Iterator[RecordedSample]:
        for number in order:
            yield RecordedSample(
                sample_id=f"{name}/{number:06d}",
                session=name,
                input=images[number][np.newaxis],
                target=one_hot(int(labels[number]), len(classes)),
            )

    return Recording(
        name=name,
        layout="images",
        task="decoding",
        kind="softmax",
        channels=1,
        shape=images.shape[1:],
        sessions=(RecordedSession(name, classes),),
        input_scale=unit_scale(images.dtype),
        n_samples=len(images),
        rate_hz=None,
        notes=() if note is None else (note,),
        stream=samples,
    )
