# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gives way when a server is full: never a connection whose request is being answered."""

from __future__ import annotations

import pytest

from exomni_core.http.crowd import Crowd, Entry


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("exomni_core.http.crowd.time.monotonic", lambda: now[0])
    return now


def fill(crowd, clock, number, address):
    names = [f"{address}#{k}" for k in range(number)]
    for name in names:
        clock[0] += 0.01
        assert crowd.enter(name, address).allowed
    return names


def test_the_oldest_without_a_request_gives_way(clock):
    crowd = Crowd(8, 8)
    old = fill(crowd, clock, 8, "127.0.0.1")
    crowd.watch(old[0], None, known=True)  # is answered just now
    crowd.watch(old[1], 20.0, known=True)  # was answered, and is kept for the next request
    assert crowd.enter("new", "127.0.0.1") == Entry(allowed=True, closed=old[2])
    assert len(crowd) == 8


def test_the_busiest_address_gives_way(clock):
    crowd = Crowd(10, 10)
    first = fill(crowd, clock, 2, "10.0.0.1")
    many = fill(crowd, clock, 7, "10.0.0.2")
    assert crowd.enter("new", "10.0.0.3").closed == many[0]
    assert crowd.enter(first[0] + "again", "10.0.0.1").closed == many[1]


def test_an_address_has_its_share_and_stays_in(clock):
    crowd = Crowd(100, 4)
    many = fill(crowd, clock, 4, "10.0.0.2")
    assert crowd.enter("fifth", "10.0.0.2") == Entry(allowed=True, closed=many[0])
    for one in (*many[1:], "fifth"):
        crowd.watch(one, None, known=True)
    assert crowd.enter("sixth", "10.0.0.2") == Entry(allowed=False)
    assert crowd.enter("other", "10.0.0.3").allowed


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine_has_places_of_its_own(clock, address):
    crowd = Crowd(16, 16)
    for one in fill(crowd, clock, 14, "10.0.0.2"):
        crowd.watch(one, None, known=True)
    assert not crowd.enter("another", "10.0.0.3").allowed
    assert crowd.enter("ours", address) == Entry(allowed=True)


def test_who_is_late_is_told_once(clock):
    crowd = Crowd(8, 8)
    slow, quick = fill(crowd, clock, 2, "127.0.0.1")
    crowd.watch(slow, 5.0, known=False)
    crowd.watch(quick, None, known=True)
    assert crowd.take_late() == []
    clock[0] += 6.0
    assert crowd.take_late() == [slow]
    assert crowd.take_late() == []
    crowd.watch(slow, 5.0, known=False)  # its thread hasn't noticed yet
    crowd.leave(slow)
    assert len(crowd) == 1
