"""The pause between two bursts of frames, for readers whose queues have little room (`net/reader_turns.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from schemefs.net.reader_turns import ReaderTurns

PATIENCE: Final = 0.0005  # seconds in which a reader that is at work reads again
READERS_SHARE: Final = 8  # seconds of pause, at the most, for each second that the frames before it took


async def let_readers_read(turns: ReaderTurns, took: float) -> None:
    """Wait until the queues of active readers have room for the next burst; *took*: seconds that the last one took.

    A reader that does not read within `PATIENCE` is not waited for. Frames get at least every ninth second in any case:
    they belong to other conversations as well.
    """
    end = trio.current_time() + READERS_SHARE * took
    caught_up = trio.Event()
    turns.on_caught_up.add(caught_up.set)
    try:
        while turns.are_due and (now := trio.current_time()) < end:
            reads = turns.reads
            with trio.move_on_at(min(end, now + PATIENCE)) as scope:
                await caught_up.wait()
            if scope.cancelled_caught and turns.reads == reads and trio.current_time() < end:
                turns.give_up()
    finally:
        turns.on_caught_up.discard(caught_up.set)
