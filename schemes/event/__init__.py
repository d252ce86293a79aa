"""The event scheme: readiness of many conversations in one file, as Redox's event queue.

queue     what is watched, and which events are to be read: edges made of levels
notation  the two notations: lines of text, and Redox's records of 24 octets
scheme    the files
"""

from schemes.event.scheme import EventScheme

__all__ = ["EventScheme"]
