"""An unmodified program over the sockets of a mount: `schemefs run -- CMD`, by seccomp user notification, without root.

    CMD ── socket, connect, send… ──> seccomp filter ── notification ──> supervisor ── files of the mount ──> daemon
     └──── read, write, poll, epoll, close, dup, fork: the kernel's own calls on a file of the mount ────────────┘

A socket of CMD is the `data` file of a conversation, from socket(2) to its last close. Only the calls that the kernel
refuses on such a file are answered by the supervisor; the others stay native.

    architectures  the numbers of system calls
    filter         the BPF program: which calls are notified, refused, allowed, or end the process
    listener       the kernel's notifications, and the replies
    call           one notified call: its arguments, the caller's memory and descriptors
    sockaddr       struct sockaddr
    tree           the files of the mount that make a socket
    sockets        what the supervisor knows of each socket, by the inode of its file
    waits          calls that wait, until a signal reaches the caller
    opening names transfer messages options control  the calls, by family
    tcp_info       struct tcp_info
    tracing        ptrace and process_vm_writev
    unix_sockets   AF_UNIX: native, except that no other socket comes in by SCM_RIGHTS
    supervisor     threads that take calls, and the table of their handlers
    program        CMD as a child process: filter, signals, job control, exit status
    inherited      descriptors that CMD may not inherit
"""
