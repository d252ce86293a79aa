/* Tries, statically linked, each way to a socket of the host that is known; prints a line for each. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *name, long result) {
    printf("%s: %s\n", name, result < 0 ? strerrorname_np(errno) : "done");
    fflush(stdout);
}

/* A connection to port PORT of this host by FAMILY, by system calls alone: one line of what is there. */
static void reach(const char *name) {
    int six = !strcmp(getenv("FAMILY"), "IPv6"), port = htons(atoi(getenv("PORT")));
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    char line[100];
    long s = syscall(SYS_socket, six ? AF_INET6 : AF_INET, SOCK_STREAM, 0), n;
    if (!six) memcpy(&to, &four, sizeof four);
    if (s < 0 || syscall(SYS_connect, s, &to, six ? sizeof to : sizeof four) < 0) { say(name, -1); return; }
    n = read(s, line, sizeof line);
    printf("%s: %.*s\n", name, (int)n, line);
    fflush(stdout);
}

static int child(void *name) { reach(name); return 0; }

int main(int argc, char **argv) {
    static char stack[1 << 16] __attribute__((aligned(16)));
    const char *what = argc > 1 ? argv[1] : "all";
    int status, parent = getppid(), tty;
    char octets[128] = {0};
    struct iovec here = {octets, 1}, there = {octets, 1};
    if (!strcmp(what, "execve")) { reach("after execve"); return 0; }
#ifdef __x86_64__
    if (!strcmp(what, "int80")) {
        long result;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(359L), "b"(2L), "c"(1L), "d"(0L) : "memory");
        printf("int $0x80: %ld\n", result);
        return 0;
    }
    if (!strcmp(what, "x32")) { say("x32", syscall(0x40000000 + SYS_socket, AF_INET, SOCK_STREAM, 0)); return 0; }
#endif
    if (!strcmp(what, "filter")) { /* a filter of its own that allows all takes nothing back */
        struct sock_filter all = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
        struct sock_fprog program = {1, &all};
        say("seccomp", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
    }
    reach("static");
    for (int family = 0; family <= 46; family++) {
        if (family == AF_UNIX || family == AF_INET || family == AF_INET6) continue;
        for (int type = 1; type <= 3; type++)
            if (syscall(SYS_socket, family, type, 0) >= 0 || errno != EAFNOSUPPORT) say("family", 0);
    }
    say("raw", syscall(SYS_socket, AF_INET, SOCK_RAW, 1));
    say("raw6", syscall(SYS_socket, AF_INET6, SOCK_RAW, 58));
    say("packet", syscall(SYS_socket, AF_PACKET, SOCK_RAW, 0));
    say("socketpair", syscall(SYS_socketpair, AF_TIPC, SOCK_STREAM, 0, octets));
    say("io_uring_setup", syscall(SYS_io_uring_setup, 8, octets));
    say("clone3", syscall(SYS_clone3, octets, 88));
    say("new user namespace", unshare(CLONE_NEWUSER));
    say("new network namespace", unshare(CLONE_NEWNET));
    say("clone into a user namespace", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
    say("setns", setns(open("/proc/self/ns/net", O_RDONLY), CLONE_NEWNET));
    say("pidfd_getfd", syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, parent, 0), 0, 0));
    say("ptrace of the parent", ptrace(PTRACE_ATTACH, parent, 0, 0));
    say("seizing the parent", ptrace(PTRACE_SEIZE, parent, 0, 0));
    say("process_vm_writev", process_vm_writev(parent, &here, 1, &there, 1, 0));
    tty = open("/dev/null", O_RDWR);
    say("TUNSETIFF", ioctl(tty, 0x400454CA, octets));
    waitpid(clone(child, stack + sizeof stack, SIGCHLD, "child by clone"), &status, 0);
    waitpid(clone(child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, "child by vfork"), &status, 0);
    if (!fork()) { execl("/proc/self/exe", argv[0], "execve", (char *)0); _exit(1); }
    wait(&status);
    if (!(status = fork())) pause();
    say("ptrace of a child", ptrace(PTRACE_SEIZE, status, 0, 0));
    kill(status, 9);
    return 0;
}
