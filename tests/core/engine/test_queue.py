from __future__ import annotations

import threading

from etl_core.engine.queue import ByteQueue


def test_items_come_out_in_order() -> None:
    queue: ByteQueue[int] = ByteQueue(100)
    for item in range(3):
        assert queue.put(item, 10)
    assert [queue.get(0), queue.get(0), queue.get(0), queue.get(0)] == [0, 1, 2, None]


def test_a_full_queue_makes_the_producer_wait_until_there_is_room() -> None:
    queue: ByteQueue[str] = ByteQueue(10)
    queue.put("a", 8)
    entered = threading.Event()

    def produce() -> None:
        queue.put("b", 8)
        entered.set()

    thread = threading.Thread(target=produce)
    thread.start()
    assert not entered.wait(0.05)
    assert queue.get(1) == "a"
    assert entered.wait(5)
    assert queue.get(1) == "b"
    thread.join()


def test_an_item_larger_than_the_bound_passes_an_empty_queue() -> None:
    queue: ByteQueue[str] = ByteQueue(10)
    assert queue.put("huge", 1000)
    assert queue.get(0) == "huge"


def test_close_releases_a_waiting_producer_and_drops_the_rest() -> None:
    queue: ByteQueue[str] = ByteQueue(1)
    queue.put("a", 1)
    taken: list[bool] = []
    thread = threading.Thread(target=lambda: taken.append(queue.put("b", 1)))
    thread.start()
    queue.close()
    thread.join(5)
    assert taken == [False]
    assert queue.get(0) is None


def test_wake_ends_a_wait_early() -> None:
    queue: ByteQueue[str] = ByteQueue(1)
    woken = threading.Event()

    def consume() -> None:
        assert queue.get(60) is None
        woken.set()

    thread = threading.Thread(target=consume)
    thread.start()
    queue.wake()
    assert woken.wait(5)
    thread.join()
