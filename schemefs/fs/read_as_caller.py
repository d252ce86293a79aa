"""The process that caller_files.py starts: `read_as_caller.py UID,GID,GROUP… NAME…`.

It prints each file, with its length on a line before it. With an empty first argument it keeps its own rights. A
failure is `ERRNO INDEX sentence` on standard error and status 1; INDEX counts the names from 0. It imports few modules,
so that it starts in 10 ms.
"""

import errno
import os
import stat
import sys

LARGEST = 1 << 20  # octets
OWN_TYPE = "fuse.schemefs"


def main(rights: str, *names: str) -> int:
    """Take on *rights*, then print every file; return the exit status."""
    if rights:
        uid, gid, *groups = map(int, rights.split(","))
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    for index, name in enumerate(names):
        try:
            octets = read(name)
        except OSError as error:
            sys.stderr.write(f"{error.errno or errno.EIO} {index} {error.strerror}\n")
            return 1
        sys.stdout.buffer.write(b"%d\n%s" % (len(octets), octets))
    sys.stdout.flush()
    return 0


def read(name: str) -> bytes:
    """Return the octets of a regular file. OSError: it is not one, or may not be read."""
    # O_PATH finds the file without opening it: opening a file of a schemefs could connect to a peer.
    place = os.open(name, os.O_PATH | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(place).st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    if kind_of_mount(place) == OWN_TYPE:
        raise OSError(errno.EINVAL, "it is a file of a schemefs")
    file = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC)
    octets = b""
    while chunk := os.read(file, LARGEST + 1 - len(octets)):
        octets += chunk
    if len(octets) > LARGEST:
        raise OSError(errno.EFBIG, f"it is larger than {LARGEST} octets")
    return octets


def kind_of_mount(descriptor: int) -> str:
    """Return the type of the file system that an open file is on (proc_pid_mountinfo(5))."""
    with open(f"/proc/self/fdinfo/{descriptor}") as lines:
        number = next(line.split()[1] for line in lines if line.startswith("mnt_id:"))
    with open("/proc/self/mountinfo") as lines:
        fields = next((line.split() for line in lines if line.split(" ", 1)[0] == number), [])
    return fields[fields.index("-") + 1] if "-" in fields else ""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
