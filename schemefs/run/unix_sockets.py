"""AF_UNIX: native, but for recvmsg and recvmmsg."""

from __future__ import annotations

from schemefs.run.call import Call, Description
from schemefs.run.session import Outcome, Result, Session


def recvmsg(session: Session, call: Call, description: Description) -> Result:
    """Return NATIVE."""
    return Outcome.NATIVE


recvmmsg = recvmsg
