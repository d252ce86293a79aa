"""The conversation that a picture is about: TARGET of `schemefs ladder` and `schemefs plot`.

tcp/3                     of the mount; `--fd 3`: that of an open file of the calling shell
/scheme/tcp/3             the same, of any mount
FILE, or - for stdin      a capture, pcapng or pcap; `--conversation N` of several
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from schemefs.command import completion
from schemefs.errors import StartError
from schemefs.story.from_capture import read_stories
from schemefs.story.live import read_story
from schemefs.story.model import Story, StoryError
from schemefs.tools.conversation_name import conversation_of_argument, is_conversation_name
from schemefs.tools.exit_status import fail, show
from schemefs.tools.find_mount import VARIABLE, find

USAGE: Final = 2
_Function = TypeVar("_Function", bound=Callable[..., Any])


def target_parameters(function: _Function) -> _Function:
    """Add TARGET and its options to a command, which gets a `Story` from `story_of` with these parameters."""
    for decorate in (
        click.argument("target", required=False, shell_complete=completion.files),
        click.option("--fd", type=click.IntRange(min=0), metavar="FD", help="An open file of the calling shell."),
        click.option("--conversation", type=click.IntRange(min=1), metavar="N", help="The Nth one of a capture."),
        click.option(
            "--mount",
            metavar="DIR",
            help=f"The tree of tcp/N.  [default: ${VARIABLE}, else the only one mounted]",
            shell_complete=completion.mounts,
        ),
    ):
        function = decorate(function)
    return function


def story_of(target: str | None, fd: int | None, conversation: int | None, mount: str | None) -> Story:
    """Return the story of the target. A target that can't be read ends the tool with a sentence."""
    if (target is None) == (fd is None):
        fail(USAGE, "name one target: tcp/N, --fd FD or a capture")
    try:
        if fd is not None:
            return _of_mount(mount, conversation_of_argument(fd))
        assert target is not None
        if is_conversation_name(target) and not Path(target).exists():
            return _of_mount(mount, target)
        if Path(target).is_dir():
            return read_story(Path(target).absolute())
        return _captured(target, conversation)
    except (StoryError, StartError) as error:
        fail(1, f"{target}: {error}" if isinstance(error, StoryError) and target is not None else str(error))


def _of_mount(mount: str | None, name: str) -> Story:
    tree = find(mount)
    if not (tree / name).exists():
        message = f"there is no conversation {name} in {tree}"
        raise StartError(message)
    return read_story(tree / name)


def _captured(target: str, conversation: int | None) -> Story:
    if target == "-":
        stories, cut = read_stories(sys.stdin.buffer)
    else:
        with open(target, "rb") as file:
            stories, cut = read_stories(file)
    if cut:
        show(f"schemefs: {target}: {cut}", error=True)
    if not stories:
        message = "there is no TCP conversation in it"
        raise StoryError(message)
    if conversation is None and len(stories) > 1:
        for story in stories:
            show(f"{story.title:>5}  {story.local} and {story.remote}, {len(story.segments)} segments", error=True)
        message = f"it has {len(stories)} conversations; choose one by --conversation N"
        raise StoryError(message)
    if conversation is not None and conversation > len(stories):
        message = f"it has {len(stories)} conversations, not {conversation}"
        raise StoryError(message)
    return stories[(conversation or 1) - 1]
