"""The rows of the table in docs/programs.md: what each program does, and what makes it work or fail.

`$T` is a directory of files, the working directory is the mount. Servers on the mount: 7 echoes, 22 has the banner of
an old ssh, 80 has a page, 81 sends an archive in small parts, 873 is rsync's, 9418 git's. `LO` is the mount's address.
"""

from __future__ import annotations

from dataclasses import dataclass

ECHO = """exec 3<>'tcp/[LO]:7'; echo hi >&3; read -r line <&3; echo "$line\""""
OVERWRITE = "set -C; echo LO >| netcfg/resolv/nameserver && cat netcfg/resolv/nameserver"
LIMIT = "exec 3<>'tcp/[LO]:7'; read -r -t 0.2 line <&3; echo over"
LIMIT_IN_PATH = "exec 3<>'tcp/[LO]:7,read_timeout=0.2'; read -r line 2>/dev/null <&3; echo over"
WAIT = "exec 3<>'tcp/[LO]:7'; schemefs wait --in -t 0.2 3 || echo over"
WAITING = """exec 4<>tcp/:7400 3<>'tcp/[LO]:7400'; before=$(grep ^parked= stats)
parks() { until [ "$(grep ^parked= stats)" != "$before" ]; do :; done; }
is() { until grep -q "$1" /proc/$waiter/status; do :; done; }
{} <&3 & waiter=$!; parks
"""  # a program that waits in a read, without a peer that reads or writes
STOP = WAITING + "kill -STOP $waiter; is 'State:.T'; kill -CONT $waiter; "
TRACE = WAITING + "timeout SECONDS strace -o $T/trace -p $waiter 2>/dev/null; "
GOES_ON = "parks; kill $waiter && echo waits"
RING = "gcc -o $T/ring $TESTS/io_uring_read.c"
RING_EMPTY = f"{RING} && {{ $T/ring netcfg/iface/lo/mtu && $T/ring tcp/[LO]:22; }} >&2"
RING_WAITS = f"{RING} && {{ timeout 1 $T/ring tcp/[LO]:7 hi || echo waits; $T/ring tcp/[LO]:7 hi poll; }} >&2"
JAVA = """cat >$T/Echo.java <<END
import java.io.*;
public class Echo { public static void main(String[] arguments) throws Exception {
    RandomAccessFile file = new RandomAccessFile("tcp/[LO]:7", "rw");
    file.write("hi\\n".getBytes()); System.out.println(file.readLine()); } }
END
java $T/Echo.java"""
GO = """cat >$T/echo.go <<END
package main
import ("fmt"; "os")
func main() { file, _ := os.OpenFile("tcp/[LO]:7", os.O_RDWR, 0); file.Write([]byte("hi\\n"))
    octets := make([]byte, 10); n, _ := file.Read(octets); fmt.Print(string(octets[:n])) }
END
HOME=$T GO111MODULE=off go run $T/echo.go"""
GIT = """printf '#!/bin/sh\\nexec schemefs nc -N "$1" "$2"\\n' >$T/proxy; chmod +x $T/proxy
git -c core.gitProxy=$T/proxy clone -q git://[LO]/repository $T/clone && git -C $T/clone log --format=%s"""
CURL = """socat UNIX-LISTEN:$T/socket 'FILE:tcp/[LO]!80' & while ! [ -S $T/socket ]; do :; done
curl -s --unix-socket $T/socket http://[LO]/"""
BIND = """touch $T/bound; unshare -m sh -c 'mount --bind netcfg/resolv/hosts $T/bound && echo LO a >$T/bound'
cat netcfg/resolv/hosts"""
BIND_STREAM = "touch $T/bound; unshare -m sh -c 'mount --bind tcp/[LO]:7 $T/bound; {}echo x >$T/bound; cat $T/bound'"


@dataclass(frozen=True)
class Row:
    """*script* works and prints *output*; *fails* is without the word, and says *complaint*, or hangs if it is None."""

    program: str  # the command; its first word is looked for
    task: str
    word: str = ""
    script: str = ""
    output: str = ""
    fails: str = ""
    complaint: str | None = None
    shell: str = "bash"

    @property
    def verdict(self) -> str:
        """The word of the table."""
        if not self.fails:
            return "works"
        return "needs a word" if self.script else "cannot"

    @property
    def line(self) -> str:
        """The row as Markdown."""
        return f"| {self.program} | {self.task} | {self.verdict} | {self.word} |"


def waiting(script: str, command: str) -> str:
    """Return *script* with the program that waits."""
    return script.replace("{}", command)


def shell(name: str, limit: str, word: str, fails: str = "", complaint: str | None = None) -> list[Row]:
    """Return the rows of a shell of the POSIX family."""
    command = "busybox sh" if name == "busybox" else name
    return [
        Row(name, "`exec 3<>tcp/HOST:PORT`", "", ECHO, "hi\n", shell=command),
        Row(name, "`read` with a time limit", word, limit, "over\n", fails, complaint, command),
        Row(
            name, "`>` under noclobber (`set -C`)", "`>\\|`", OVERWRITE, "LO\n",
            OVERWRITE.replace(">|", ">"), "exist", command,
        ),
    ]  # fmt: skip


ROWS = [
    *shell("bash", LIMIT_IN_PATH, "`,read_timeout=SECONDS` in the path; `read -t` has no effect", LIMIT),
    *shell("dash", LIMIT_IN_PATH, "`,read_timeout=SECONDS` in the path; it has no `read -t`", LIMIT, "Illegal option"),
    *shell("zsh", LIMIT, "`read -t`"),
    *shell("mksh", LIMIT, "`read -t`"),
    *shell("ksh", LIMIT, "`read -t`; it repeats a read that `read_timeout` has ended"),
    *shell("busybox", LIMIT, "`read -t`; it repeats a read that `read_timeout` has ended"),
    *shell("yash", WAIT, "`schemefs wait --in -t SECONDS 3`; it has no `read -t`", LIMIT, "not a valid option"),
    Row("fish", "a conversation", "`echo hi \\| schemefs nc -N HOST PORT`: it has no `exec 3<>`",
        "echo hi | schemefs nc -N LO 7", "hi\n", "exec 3<>'tcp/[LO]:7'; echo hi >&3", ".", "fish"),
    Row("fish", "texts: `cat`, `>`", "", "echo LO >netcfg/resolv/nameserver; cat netcfg/resolv/nameserver",
        "LO\n", shell="fish"),
    Row("dd", "also `cat`, `tee`, `wc`, `head -c`", "",
        "exec 3<>'tcp/[LO]:80'; echo | tee /dev/fd/3 >$T/tee; dd bs=1 count=8 status=none <&3; cat <&3 | wc -l",
        "HTTP/1.03\n"),
    Row("head", "`head -n 1 <&3`: it takes more than the line", "`read -r line <&3`",
        "exec 3<>'tcp/[LO]:80'; echo >&3; read -r line <&3; cat <&3 | tail -n 1", "it works\n",
        "exec 3<>'tcp/[LO]:80'; echo >&3; head -n 1 <&3", "cannot seek"),
    Row("cat", "`cat <&5 >&5`: it refuses one file for both", "`cat <$n/rx >$n/tx`, with `n=$(schemefs which 5)`",
        "exec 5<>'tcp/[LO]:80'; n=$(schemefs which 5); echo >&5; cat <$n/rx >$n/tx && echo done", "done\n",
        "exec 5<>'tcp/[LO]:80'; echo >&5; cat <&5 >&5", "input file is output file"),
    Row("grep", "`grep x <&5 >&5`: it refuses one file for both", "`grep x <$n/rx >$n/tx`",
        "exec 5<>'tcp/[LO]:80'; n=$(schemefs which 5); echo >&5; grep works <$n/rx >$n/tx && echo done", "done\n",
        "exec 5<>'tcp/[LO]:80'; echo >&5; grep works <&5 >&5", "input file is also the output"),
    Row("sed", "`sed -u … <&5 >&5`", "", "exec 5<>'tcp/[LO]:80'; echo >&5; sed -u s/a/b/ <&5 >&5 && echo done",
        "done\n"),
    Row("awk", "`awk … <&5 >&5`", "", "exec 5<>'tcp/[LO]:80'; echo >&5; awk 1 <&5 >&5 && echo done", "done\n"),
    Row("cat", "Ctrl-Z and `fg` while it waits", "", waiting(STOP + GOES_ON, "cat"), "waits\n"),
    Row("grep", "Ctrl-Z and `fg` while it waits", "", waiting(STOP + GOES_ON, "grep x"), "waits\n"),
    Row("sed", "Ctrl-Z and `fg`, or strace -p, while it waits", "the read ends with EINTR: `cat tcp/… \\| sed`",
        waiting(STOP + GOES_ON, "cat"), "waits\n",
        waiting(STOP + "wait $waiter", "sed p"), "Interrupted system call"),
    Row("mawk", "Ctrl-Z and `fg`, or strace -p, while it waits", "the read ends with EINTR: `cat tcp/… \\| awk`",
        waiting(STOP + GOES_ON, "cat"), "waits\n",
        waiting(STOP + "wait $waiter", "mawk 1"), "Interrupted system call"),
    Row("tar", "`tar xf tcp/HOST:PORT`: parts that are shorter than a block", "`tar xBf - <tcp/HOST:PORT`",
        "tar xBf - -C $T <tcp/[LO]:81; cmp $T/packed/octets $T/octets && echo same", "same\n",
        "tar xf tcp/[LO]:81 --force-local -C $T", "Unaligned block"),
    Row("python3", '`open(PATH, "r+b", buffering=0)`', "else it asks for the position, which a stream does not have",
        """python3 -c 'f = open("tcp/[LO]:7", "r+b", 0); f.write(b"hi"); print(f.read(9).decode())'""", "hi\n",
        """python3 -c 'open("tcp/[LO]:7", "r+b")'""", "not seekable"),
    Row("node", '`fs.openSync(PATH, "r+")`, `createReadStream`', "a read that waits takes one of four threads",
        """node -e 'const fs = require("fs"), f = fs.openSync("tcp/[LO]:7", "r+"), b = Buffer.alloc(9);
        fs.writeSync(f, "hi"); console.log(b.toString("utf8", 0, fs.readSync(f, b)))'""", "hi\n"),
    Row("go", "`os.OpenFile(PATH, os.O_RDWR, 0)`", "", GO, "hi\n"),
    Row("java", '`new RandomAccessFile(PATH, "rw")`', "", JAVA, "hi\n"),
    Row("ruby", '`File.open(PATH, "r+")`', "with `f.sync = true`",
        """ruby -e 'f = File.open("tcp/[LO]:7", "r+"); f.sync = true; f.puts "hi"; puts f.gets'""", "hi\n"),
    Row("perl", '`open F, "+<", PATH`', "`syswrite`, `sysread`, or `$\\| = 1`",
        """perl -e 'open F, "+<", "tcp/[LO]:7"; syswrite F, "hi\n"; print scalar <F>'""", "hi\n"),
    Row("lua", '`io.open(PATH, "r+")`', 'with `f:setvbuf("no")`',
        """lua -e 'f = io.open("tcp/[LO]:7", "r+"); f:setvbuf("no"); f:write("hi\\n"); print(f:read("l"))'""",
        "hi\n"),
    Row("curl", "it opens sockets itself",
        "`schemefs get URL`, or `--unix-socket` with `socat UNIX-LISTEN:… 'FILE:tcp/HOST!PORT'`", CURL, "it works\n",
        "curl -sS --max-time 2 --noproxy '*' http://[LO]:1/", "connect"),
    Row("git", "it opens sockets itself", '`core.gitProxy`, a script with `exec schemefs nc -N "$1" "$2"`', GIT,
        "first\n",
        "git clone -q git://[LO]:1/repository $T/direct", "onnect"),
    Row("ssh", "it opens sockets itself", "`-o ProxyCommand='schemefs nc %h %p'`",
        "ssh -F none -o ProxyCommand='schemefs nc %h %p' LO 2>&1 | grep -o 'versions differ'",
        "versions differ\n", "ssh -F none -p 1 LO", "onnect"),
    Row("rsync", "it opens sockets itself", "`RSYNC_CONNECT_PROG='schemefs nc HOST 873'`",
        "RSYNC_CONNECT_PROG='schemefs nc LO 873' rsync rsync://host/files/ | grep -o octets", "octets\n",
        "rsync --port 1 rsync://[LO]/files/", "onnect"),
    Row("socat", "`FILE:tcp/HOST!PORT`", "`!`, because a colon separates",
        "echo hi | socat -t 1 - 'FILE:tcp/[LO]!7'", "hi\n", "echo hi | socat -t 1 - FILE:tcp/[LO]:7", "."),
    Row("mount", "`mount --bind` of a text", "", BIND, "LO a\n"),
    Row("mount", "`mount --bind` of an address: one conversation, ENOTCONN after its end", "bind its directory (`tcp`)",
        "", "", BIND_STREAM.format("echo x >$T/bound; "), "not connected"),
    Row("strace", "`strace -p` of a waiting cat", "", waiting(TRACE.replace("SECONDS", "0.5") + GOES_ON, "cat"),
        "waits\n"),
    Row("strace", "`strace -p` of a waiting sed: the read ends with EINTR", "", "", "",
        waiting(TRACE.replace("SECONDS", "30") + "wait $waiter", "sed p"),
        "Interrupted system call"),
    Row("io_uring", "a read of a text before a stat, or of a stream before a write: the kernel takes it for empty",
        "use read(2)", "", "", RING_EMPTY, "^0 octets\n0 octets$|switched off"),
    Row("io_uring", "a read of a stream: it ends when it is full or the stream has ended, as of a regular file",
        "`IORING_OP_POLL_ADD`, then read(2)", "", "", RING_WAITS, "^waits\n2 octets$|switched off"),
]  # fmt: skip
