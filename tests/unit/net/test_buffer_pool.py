"""A pool of receive buffers: a buffer with a view is not used again before the view is gone."""

from __future__ import annotations

from schemefs.net.buffer_pool import BufferPool, is_in_use


def test_a_view_keeps_its_buffer_and_the_last_view_frees_it() -> None:
    pool = BufferPool(size=4, keep=2)
    buffers = [pool.take()]
    view = memoryview(buffers[0])[1:]
    assert is_in_use(buffers, 0)
    pool.set_aside(buffers[0])
    buffers[0] = pool.take()
    assert (pool.made, pool.in_use) == (2, 1)
    part = view[1:]
    del view
    buffers.append(pool.take())
    assert (pool.made, pool.in_use) == (3, 1)
    del part
    buffers.append(pool.take())
    assert (pool.made, pool.in_use) == (3, 0)


def test_a_buffer_without_views_is_not_in_use() -> None:
    buffers = [bytearray(4)]
    memoryview(buffers[0])[1:3].release()
    assert not is_in_use(buffers, 0)


def test_a_view_that_stays_does_not_hold_up_the_other_buffers() -> None:
    pool = BufferPool(size=4, keep=8)
    first, second = pool.take(), pool.take()
    views = {0: memoryview(first), 1: memoryview(second)}
    pool.set_aside(first)
    pool.set_aside(second)
    del first, second, views[1]
    pool.take()
    assert (pool.made, pool.in_use) == (2, 1)


def test_only_so_many_spares_are_kept() -> None:
    pool = BufferPool(size=4, keep=1)
    buffers = [pool.take() for _ in range(4)]
    for buffer in buffers:
        pool.set_aside(buffer)
    del buffer
    buffers.clear()
    for _ in range(4):
        pool.take()
    assert pool.in_use == 0
