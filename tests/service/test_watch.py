"""Who watches hears everything in order, or how much was missed."""

import threading

from service.client import Client, LearningFrozen
from service.engine import Exists, Frozen, Notice, Notices
from service.engine.notices import KEPT
from service.rpc.watch import notice_message


def notice(event: int) -> Notice:
    return Notice("encoder", event, 0.0, Frozen(event % 2 == 0))


def test_a_watcher_that_does_not_keep_up_is_told_how_much_it_missed() -> None:
    notices = Notices()
    with notices.watch(lambda: None) as watcher:
        pushed_out = [notices.tell(notice(event)) for event in range(KEPT + 44)]
        assert sum(pushed_out) == 44
        first = watcher.take()
        assert first is not None
        assert (first.event, first.missed) == (44, 44)
        assert notice_message(first).missed == 44
        rest = [watcher.take() for _ in range(KEPT - 1)]
        assert [each.event for each in rest if each] == list(range(45, KEPT + 44))
        assert all(each.missed == 0 for each in rest if each)
        assert watcher.take() is None


def test_one_slow_watcher_costs_the_others_nothing() -> None:
    notices = Notices()
    with notices.watch(lambda: None), notices.watch(lambda: None) as quick:
        for event in range(2 * KEPT):
            notices.tell(notice(event))
            taken = quick.take()
            assert taken is not None
            assert (taken.event, taken.missed) == (event, 0)


def test_a_watcher_that_left_is_forgotten() -> None:
    notices = Notices()
    woken = threading.Event()
    with notices.watch(woken.set):
        pass
    assert notices.tell(Notice("encoder", 0, 0.0, Exists(True))) == 0
    assert not woken.is_set()


def test_notices_come_in_the_order_of_events(client: Client) -> None:
    heard: list[tuple[int, bool]] = []
    with client.watch(["encoder"]) as watch:

        def listen() -> None:
            for told in watch:
                if isinstance(told.what, LearningFrozen):
                    heard.append((told.event, told.what.frozen))
                if len(heard) == 20:
                    return

        listener = threading.Thread(target=listen)
        listener.start()
        frozen_at: dict[int, bool] = {}
        while listener.is_alive():
            frozen_at[client.freeze("encoder")] = True
            frozen_at[client.resume("encoder")] = False
        listener.join()
    events = [event for event, _ in heard]
    assert events == list(range(events[0], events[0] + 20))
    assert all(frozen_at[event] == frozen for event, frozen in heard)
