"""A journal: whole or refused, cut only where a write was cut short, and cheap to share a flush."""

import errno
import random
from pathlib import Path

import pytest

from service.errors import CorruptRecord, StorageBroken, StorageFull
from service.storage import failpoints
from service.storage.journal import Journal
from service.storage.records import Position

BODIES = [b"", b"a", b"x" * 5000, bytes(900), b"end" * 100]


@pytest.fixture(autouse=True)
def disarmed() -> None:
    failpoints.arm({})


def filled(folder: Path, *batches: list[bytes]) -> Journal:
    journal = Journal(folder)
    for batch in batches:
        journal.append(batch)
    return journal


def bodies(journal: Journal, after: Position | None = None) -> list[bytes]:
    return [record.body for record in journal.replay(after or Position())]


def newest_segment(folder: Path) -> Path:
    return max(folder.glob("*.records"))


def test_what_was_appended_comes_back_in_order(tmp_path: Path) -> None:
    filled(tmp_path / "j", BODIES, [b"later"]).close()
    again = Journal(tmp_path / "j")
    assert bodies(again) == [*BODIES, b"later"]
    assert (again.position.number, again.batch) == (6, 2)


def test_it_goes_on_after_a_restart_and_reads_from_any_place(tmp_path: Path) -> None:
    first = filled(tmp_path / "j", BODIES)
    middle = first.position
    first.close()
    second = Journal(tmp_path / "j")
    second.append([b"six", b"seven"])
    second.close()
    assert bodies(Journal(tmp_path / "j"), middle) == [b"six", b"seven"]


def test_segments_follow_each_other_and_old_ones_go(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j", [b"1", b"2"])
    journal.rotate()
    journal.rotate()
    place = journal.append([b"3"])
    journal.rotate()
    journal.append([b"4"])
    assert len(list((tmp_path / "j").glob("*.records"))) == 3
    journal.prune(2)
    assert journal.first == 3
    journal.close()
    again = Journal(tmp_path / "j")
    assert bodies(again, place) == [b"4"]
    with pytest.raises(CorruptRecord, match="holds records 3 to 4, expected those after 0"):
        bodies(again)


def test_a_missing_segment_is_found(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j", [b"1"])
    for body in (b"2", b"3"):
        journal.rotate()
        journal.append([body])
    journal.close()
    sorted((tmp_path / "j").glob("*.records"))[1].unlink()
    with pytest.raises(CorruptRecord, match="a segment is missing or has changed"):
        Journal(tmp_path / "j")


def test_a_place_of_another_journal_is_refused(tmp_path: Path) -> None:
    other = filled(tmp_path / "other", [b"something else"]).position
    journal = filled(tmp_path / "j", BODIES)
    with pytest.raises(CorruptRecord, match="not of one model"):
        bodies(journal, other)


def test_a_checkpoint_beyond_the_end_is_refused(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j", BODIES)
    with pytest.raises(CorruptRecord, match="holds records 1 to 5, expected those after 9"):
        bodies(journal, Position(9, bytes(16)))


def test_skipped_records_stay_skipped(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j", [b"1", b"2", b"3"])
    journal.skip(2)
    assert bodies(journal) == [b"1", b"3"]
    journal.close()
    assert bodies(Journal(tmp_path / "j")) == [b"1", b"3"]


@pytest.mark.parametrize("lost", [1, 5, 16, 17, 40, 300])
def test_a_torn_tail_is_cut_and_kept_aside(
    tmp_path: Path, lost: int, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(tmp_path / "j", BODIES).close()
    segment = newest_segment(tmp_path / "j")
    content = segment.read_bytes()
    segment.write_bytes(content[:-lost])
    again = Journal(tmp_path / "j")
    assert bodies(again) == BODIES[:-1]
    (aside,) = (tmp_path / "j").glob("*.torn-*")
    assert content[:-lost].endswith(aside.read_bytes())
    assert "journal_cut" in capsys.readouterr().out
    again.append([b"goes on"])
    again.close()
    assert bodies(Journal(tmp_path / "j")) == [*BODIES[:-1], b"goes on"]


@pytest.mark.parametrize("zeros", [1, 24, 4096])
def test_blocks_that_never_came_are_a_torn_tail(tmp_path: Path, zeros: int) -> None:
    filled(tmp_path / "j", BODIES).close()
    segment = newest_segment(tmp_path / "j")
    segment.write_bytes(segment.read_bytes() + bytes(zeros))
    assert bodies(Journal(tmp_path / "j")) == BODIES


def test_a_segment_cut_before_its_first_record_is_no_loss(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j", BODIES)
    journal.rotate()
    journal.close()
    segment = newest_segment(tmp_path / "j")
    segment.write_bytes(segment.read_bytes()[:11])
    assert bodies(Journal(tmp_path / "j")) == BODIES


def test_a_tail_torn_in_an_older_segment_is_damage(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j", BODIES)
    journal.rotate()
    journal.append([b"6"])
    journal.close()
    oldest = min((tmp_path / "j").glob("*.records"))
    oldest.write_bytes(oldest.read_bytes()[:-3])
    with pytest.raises(CorruptRecord, match="ends in the middle of a record"):
        Journal(tmp_path / "j")


def test_any_flipped_bit_is_found(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j", BODIES, [b"batch"] * 3)
    journal.rotate()
    journal.append(BODIES)
    journal.close()
    segments = sorted((tmp_path / "j").glob("*.records"))
    contents = [segment.read_bytes() for segment in segments]
    draw = random.Random(0)
    for _ in range(1000):
        which = draw.randrange(2)
        content = bytearray(contents[which])
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        segments[which].write_bytes(content)
        with pytest.raises(CorruptRecord):
            Journal(tmp_path / "j")
        assert segments[which].read_bytes() == content, "a damaged file was touched"
        segments[which].write_bytes(contents[which])
    assert len(bodies(Journal(tmp_path / "j"))) == 13


def test_a_full_disk_changes_nothing_and_goes_on_later(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j", [b"1"])
    before = newest_segment(tmp_path / "j").read_bytes()
    failpoints.arm({"journal.append": "enospc"})
    with pytest.raises(StorageFull, match="make room on the service's disk and send it again"):
        journal.append([b"2"])
    assert newest_segment(tmp_path / "j").read_bytes() == before
    assert journal.probe()
    failpoints.arm({"journal.append": "enospc@1+"})
    assert not journal.probe()
    assert newest_segment(tmp_path / "j").read_bytes() == before
    failpoints.arm({})
    journal.append([b"3"])
    journal.close()
    assert bodies(Journal(tmp_path / "j")) == [b"1", b"3"]


def test_a_half_written_record_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    journal = filled(tmp_path / "j", [b"1"])
    real = os.pwrite
    calls = []

    def half(descriptor: int, content: bytes, offset: int) -> int:
        calls.append(offset)
        if len(calls) == 1:
            return real(descriptor, bytes(content)[:10], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", half)
    with pytest.raises(StorageFull):
        journal.append([b"2" * 100])
    monkeypatch.undo()
    journal.append([b"3"])
    journal.close()
    assert bodies(Journal(tmp_path / "j")) == [b"1", b"3"]


def test_a_failed_flush_is_not_survived(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j", [b"1"])
    failpoints.arm({"journal.flush": "eio"})
    with pytest.raises(StorageBroken, match="nobody knows what it holds"):
        journal.append([b"2"])


def test_a_full_disk_at_a_new_segment_leaves_the_old_one_going(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j", [b"1"])
    failpoints.arm({"journal.rotate": "enospc"})
    with pytest.raises(StorageFull):
        journal.rotate()
    journal.append([b"2"])
    journal.close()
    assert bodies(Journal(tmp_path / "j")) == [b"1", b"2"]
