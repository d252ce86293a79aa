"""What every protocol directory shares: addresses, clone, numbered directories with ctl, data, rx, tx, listen, status…

A protocol describes itself and gives engines, one per conversation; this package makes files of them. Sans-IO, like
everything a scheme is made of.

    contract    what a protocol gives: ConversationProtocol, Engine, ListenerEngine, Setting, Option
    datagrams   the half of an engine that protocols of datagrams share
    life        a conversation from its first holder to its end: who holds it, and what the last close means
    seeking     the engine while a host name is looked up and its addresses are tried
    handles     its open files: data, rx, tx, ctl, listen, and a listener's own
    control     the verbs of ctl
    options     the words after an address, and which fit where
    tree        the directory of a protocol
    numbered    the directory of a conversation
"""

from schemefs.conversation.datagrams import DatagramEngine
from schemefs.conversation.protocol import (
    ConversationProtocol,
    Engine,
    ListenerEngine,
    Option,
    Setting,
    Use,
    Verb,
    no_value,
)
from schemefs.conversation.scheme import ConversationScheme

__all__ = [
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
]
