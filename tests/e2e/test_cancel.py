"""A cancel drains, commits, leaves no thread, exits 130, and the next run goes on where it stopped."""

from __future__ import annotations

import signal
import time

import pytest
from support.shop import Shop, interrupt, wait_until

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_while_streaming(shop: Shop, sent: signal.Signals) -> None:
    process = shop.start()
    wait_until(shop.streams)
    shop.database.execute("update orders set total = 0 where id < 50")
    process.send_signal(sent)
    output, _ = process.communicate(timeout=40)
    assert process.returncode == 130, output
    shop.once()
    shop.assert_equal()


def test_in_the_middle_of_a_snapshot(shop: Shop) -> None:
    shop.database.execute(
        "insert into orders select n, 'c', 1, repeat('x', 100) from generate_series(1000, 300000) n"
    )
    process = shop.start()
    wait_until(shop.file.exists, what="the destination is opened")
    time.sleep(0.3)
    code, output = interrupt(process)
    assert code == 130, output
    shop.once()
    shop.assert_equal()


def test_a_second_signal_ends_at_once(shop: Shop) -> None:
    process = shop.start()
    wait_until(shop.file.exists)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=40)
    assert process.returncode == 130
    shop.once()
    shop.assert_equal()
