"""What every protocol directory shares: addresses, clone, numbered directories with ctl, data, rx, tx, listen, status…

A protocol describes itself and gives engines, one per conversation; this package makes files of them. Sans-IO, like
everything a scheme is made of.

    contract    what a protocol gives: ConversationProtocol, Engine, ListenerEngine, Setting, Option
    life        a conversation from its first holder to its end: who holds it, and what the last close means
    seeking     the engine while a host name is looked up and its addresses are tried
    handles     its open files: data, rx, tx, ctl, listen, and a listener's own
    control     the verbs of ctl
    tree        its directories: the protocol's, and the numbered ones
"""

from schemefs.conversation.contract import ConversationProtocol, Engine, ListenerEngine, Option, Setting
from schemefs.conversation.tree import ConversationScheme

__all__ = ["ConversationProtocol", "ConversationScheme", "Engine", "ListenerEngine", "Option", "Setting"]
