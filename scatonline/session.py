"""One recording in a model: a fixed list of outputs with its own readout."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scatonline.config import ModelSpec
from scatonline.errors import DuplicateName
from scatonline.past import Past, carried, followed
from scatonline.readout import Readout, fresh
from scatonline.realignment import Decoded, Realignment
from scatonline.scores import Score
from scatonline.structure import Window

# Sample ids remembered a session, so that a repeated one is refused.
REMEMBERED_IDS = 20_000


@dataclass
class Session:
    """State of one session.

    Attributes:
        name: The session.
        outputs: Names of its units or classes.
        readout: Columns → predictions.
        window: Newest labelled samples.
        score: Prequential score.
        realignment: Follows the classes while electrodes move, where the model has that.
        learned: Samples learned from.
        came: Samples that have come, labelled or not; counted where there are lags.
        past: Raw columns of the newest ones, as many as there are lags.
        ids: Newest sample ids, oldest first.
    """

    name: str
    outputs: tuple[str, ...]
    readout: Readout
    window: Window
    score: Score
    realignment: Realignment | None = None
    learned: int = 0
    came: int = 0
    past: Past = ()
    # Of this kind the first one is found at once, however many went before it.
    ids: OrderedDict[str, None] = field(default_factory=OrderedDict)

    @classmethod
    def opened(
        cls,
        spec: ModelSpec,
        name: str,
        outputs: Sequence[str],
        cells: Tensor,
        size: float,
        device: str,
    ) -> "Session":
        """A session that has seen nothing; ``cells`` and ``size`` as a readout asks for them."""
        kind, count = spec.readout.kind, len(outputs)
        kept = spec.structure.window
        if spec.readout.method == "window" and spec.learning.enabled:
            # Remembered inputs are transformed again when the filters have moved.
            kept = max(kept, spec.readout.window)
        return cls(
            name,
            tuple(outputs),
            fresh(spec.readout, cells, outputs, size, device),
            Window(kept, (spec.channels, *spec.shape), count, device),
            Score(kind, count),
            Realignment(spec.realignment, spec.channels, count, device)
            if spec.realignment.enabled
            else None,
        )

    @staticmethod
    def rehearse(spec: ModelSpec, cells: Tensor, size: float, device: str) -> None:
        """Learns from nothing in a session that is thrown away, as :meth:`opened` would make it.

        On a new machine loops are compiled for seconds when they are first called.
        """
        readout = fresh(spec.readout, cells, ("this", "that"), size, device)
        nothing = torch.zeros(len(cells), dtype=torch.float64, device=device)
        one = torch.tensor([1.0, 0.0], dtype=torch.float64)
        said = readout.predict(nothing)
        readout.observe(nothing, one.to(device))
        Score(spec.readout.kind, len(one)).add(said.float().cpu().numpy(), one.numpy())

    def predict(self, x: Tensor, z: Tensor) -> tuple[Tensor, Decoded | None]:
        """Looks at an input that has just come: once at each, in their order.

        Args:
            x: ``(channels, *shape)``, scaled.
            z: ``(width,)``, its standardised columns.

        Returns:
            ``(outputs,)`` float64, what is expected, and what :meth:`realign` needs later.
        """
        values = self.readout.predict(z)
        if self.realignment is None:
            return values, None
        decoded = self.realignment.predict(x, values)
        return decoded.probabilities, decoded

    def realign(self, decoded: Decoded | None, target: Tensor) -> None:
        """Learns where a class is now, from the window as it was seen when it came."""
        if self.realignment is not None and decoded is not None:
            self.realignment.learn(decoded, int(target.argmax()))

    def carry_over(self, earlier: "Session", kinds: Tensor | None = None) -> None:
        """Starts from what an earlier session knows.

        The readout's outputs are matched by name; classes are followed on if they are the same
        ones, in the same order.

        Args:
            earlier: The session before.
            kinds: Of the columns, :attr:`scatonline.features.Layout.kinds`, for a readout that is
                to learn from that session how much each counts.
        """
        self.succeed(earlier, kinds)
        if (
            self.realignment is not None
            and earlier.realignment is not None
            and self.outputs == earlier.outputs
        ):
            # Shared, as none is changed in place.
            self.realignment.load(earlier.realignment.tensors(), earlier.realignment.meta())

    def succeed(self, earlier: "Session", kinds: Tensor | None = None) -> None:
        """Starts from an earlier session's readout, see :meth:`carry_over`."""
        matched = [
            (i, earlier.outputs.index(o))
            for i, o in enumerate(self.outputs)
            if o in earlier.outputs
        ]
        self.readout.succeed(earlier.readout, matched, kinds)  # type: ignore[arg-type]

    def require_new(self, sample_id: str) -> None:
        """Refuses an id that was sent before.

        Raises:
            DuplicateName: it is among the last :data:`REMEMBERED_IDS` of this session.
        """
        if sample_id in self.ids:
            raise DuplicateName(
                f"sample {sample_id!r} of session {self.name!r} was sent before: ids are unique "
                "within a session"
            )

    def remember(self, sample_id: str, columns: Tensor, lags: int) -> None:
        """Notes a sample that has come; what is oldest goes beyond the limits.

        Args:
            sample_id: Its id.
            columns: ``((1 + lags) · single,)``, raw.
            lags: Inputs whose columns are kept.
        """
        if lags:
            self.came += 1
            self.past = followed(self.past, columns[: len(columns) // (1 + lags)], lags)
        self.ids[sample_id] = None
        if len(self.ids) > REMEMBERED_IDS:
            self.ids.popitem(last=False)

    def restructure(self, index: Tensor, single: int, cells: Tensor) -> None:
        """Follows the columns to another layout, see the readouts' ``restructured``.

        Args:
            index: ``(width,)``, the old column of each new one, −1 where new.
            single: New columns of one input.
            cells: ``(width,)``, for each new column the number of columns of its map.
        """
        self.readout = self.readout.restructured(index, cells)
        self.past = carried(self.past, index[:single])
