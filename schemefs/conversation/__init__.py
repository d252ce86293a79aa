"""What every protocol directory shares: addresses, clone, numbered directories with ctl, data, rx, tx, listen, status…

A protocol describes itself and makes engines, one per conversation; this package makes files of them. Sans-IO, as
everything that a scheme is made of.

    protocol       what a protocol gives: ConversationProtocol, Engine, ListenerEngine, Setting, Option
    datagrams      the part of an engine that datagram protocols share
    connecting     the engine while a host name is looked up and its addresses are tried
    conversation   one conversation: its open files, and what the close of the last one means
    table          the live conversations of a protocol by number
    event_log      what happened in a conversation, recorded for `events`
    attributes     what open files show as extended attributes: names, the pending error, the next octets
    usage          which process uses a conversation
    handles        open files: data, rx, tx, ctl, listen, and those of a listener
    control        the verbs of ctl
    use            what an address is used for: connect, listen, accept or bind
    options        the words after an address, and which are valid where
    settings       the files of `settings/`
    captures       the frames of one conversation, with what decrypts them
    directory      the numbered directory of a conversation: all its files, declared once
    function_file  a stream file whose opening is a function
    scheme         the directory of a protocol
    help           its README
"""

from schemefs.conversation.captures import KEYS
from schemefs.conversation.datagrams import DatagramEngine
from schemefs.conversation.protocol import (
    ConversationProtocol,
    Engine,
    ListenerEngine,
    Option,
    Setting,
    Verb,
    no_value,
)
from schemefs.conversation.scheme import ConversationScheme
from schemefs.conversation.use import Use, use_of

__all__ = [
    "KEYS",
    "ConversationProtocol",
    "ConversationScheme",
    "DatagramEngine",
    "Engine",
    "ListenerEngine",
    "Option",
    "Setting",
    "Use",
    "Verb",
    "no_value",
    "use_of",
]
