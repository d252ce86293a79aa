/* Read the file argv[1] by io_uring, without stat, and print the number of octets. With argv[2], write that first; with
 * argv[3], let io_uring wait until the file is readable and read by read(2). */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct io_uring_params p = {0};
    char octets[1000];
    int ring = syscall(SYS_io_uring_setup, 4, &p), file = open(argv[1], argc > 2 ? O_RDWR : O_RDONLY);
    if (ring < 0) {
        puts("io_uring is switched off");
        return 0;
    }
    if (file < 0 || (argc > 2 && write(file, argv[2], strlen(argv[2])) < 0))
        return 1;
    int access = PROT_READ | PROT_WRITE;
    char *submission = mmap(0, p.sq_off.array + p.sq_entries * 4, access, MAP_SHARED, ring, IORING_OFF_SQ_RING);
    char *completion = mmap(0, p.cq_off.cqes + p.cq_entries * 16, access, MAP_SHARED, ring, IORING_OFF_CQ_RING);
    struct io_uring_sqe *entry = mmap(0, p.sq_entries * 64, access, MAP_SHARED, ring, IORING_OFF_SQES);
    if (argc > 3)
        *entry = (struct io_uring_sqe){.opcode = IORING_OP_POLL_ADD, .fd = file, .poll32_events = POLLIN};
    else
        *entry = (struct io_uring_sqe){.opcode = IORING_OP_READ, .fd = file, .addr = (unsigned long)octets, .len = 1000};
    *(unsigned *)(submission + p.sq_off.tail) += 1;
    if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) != 1)
        return 1;
    int result = ((struct io_uring_cqe *)(completion + p.cq_off.cqes))->res;
    printf("%d octets\n", argc > 3 && result == POLLIN ? (int)read(file, octets, 1000) : result);
    return 0;
}
