/* What it costs to be told of a program's open(2), in the ways that Linux has (ARCHITECTURE.md, "Records").
 *
 * cc -O2 -o watch bench/watch.c && ./watch [ROUNDS]     (fanotify: as root)
 *
 * A child opens a file and closes it, over and over, with three calls of getppid(2) between: most calls of a program
 * say nothing of what it does. Printed is the time of a round, in nanoseconds, the least of five runs. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1UL
#endif

static long rounds = 20000;
static const char file[] = "/etc/hostname";

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

/* What is watched; tells how long a round took. */
static void work(int out) {
    double begin = now();
    for (long i = 0; i < rounds; i++) {
        int fd = open(file, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            fail("open");
        close(fd);
        syscall(SYS_getppid);
        syscall(SYS_getppid);
        syscall(SYS_getppid);
    }
    double each = (now() - begin) / rounds;
    if (write(out, &each, sizeof each) != sizeof each)
        fail("write");
}

/* A filter that does this with openat(2), and lets everything else pass; its listener, if it has one. */
static int filter(unsigned action, unsigned flags) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof code / sizeof *code, code };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        fail("no_new_privs");
    int fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    if (fd < 0)
        fail("seccomp");
    return fd;
}

static void by_nothing(int out) {
    if (fork() == 0) {
        work(out);
        _exit(0);
    }
    wait(NULL);
}

/* One processor serves both: who waits lets the other run at once. */
static void by_notification(int out, int turns) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        fail("socketpair");
    pid_t child = fork();
    if (child == 0) {
        int fd = filter(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
        if (write(pair[1], &fd, sizeof fd) != sizeof fd)
            fail("write");
        char go;
        if (read(pair[1], &go, 1) != 1)
            fail("read");
        work(out);
        _exit(0);
    }
    int theirs, pidfd = syscall(SYS_pidfd_open, child, 0);
    if (read(pair[0], &theirs, sizeof theirs) != sizeof theirs)
        fail("read");
    int listener = syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
    if (listener < 0)
        fail("pidfd_getfd");
    if (turns && ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP))
        fail("SECCOMP_IOCTL_NOTIF_SET_FLAGS");
    if (write(pair[0], "", 1) != 1)
        fail("write");
    for (;;) {
        struct seccomp_notif call;
        memset(&call, 0, sizeof call);
        struct pollfd ready[] = { { listener, POLLIN, 0 }, { pidfd, POLLIN, 0 } };
        if (!turns && poll(ready, 2, -1) > 0 && ready[1].revents)
            break;
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call)) {
            struct pollfd ended = { listener, POLLIN, 0 };
            if (poll(&ended, 1, 0) > 0 && ended.revents & POLLHUP)
                break;
            continue;
        }
        struct seccomp_notif_resp answer = { call.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE };
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
    close(listener);
    close(pidfd);
    close(pair[0]);
    close(pair[1]);
    wait(NULL);
}

static void by_listener(int out) { by_notification(out, 0); }
static void by_turns(int out) { by_notification(out, 1); }

/* As strace(1): at each call, twice. With `some` only where a filter says so (strace --seccomp-bpf). */
static void by_tracing(int out, int some) {
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        if (some)
            filter(SECCOMP_RET_TRACE, 0);
        work(out);
        _exit(0);
    }
    int status, how = some ? PTRACE_CONT : PTRACE_SYSCALL;
    waitpid(child, &status, 0);
    ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL);
    while (!ptrace(how, child, 0, 0) && waitpid(child, &status, 0) == child && !WIFEXITED(status))
        ;
}

static void by_strace(int out) { by_tracing(out, 0); }
static void by_filtered_strace(int out) { by_tracing(out, 1); }

/* Opens of all files of a mount; no other calls, and no failed ones. */
static void by_fanotify(int out) {
    int group = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC);
    if (group < 0 || fanotify_mark(group, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, file)) {
        double none = -1;
        if (write(out, &none, sizeof none) != sizeof none)
            fail("write");
        return;
    }
    pid_t child = fork();
    if (child == 0) {
        close(group);
        work(out);
        _exit(0);
    }
    int pidfd = syscall(SYS_pidfd_open, child, 0);
    char events[65536] __attribute__((aligned(8)));
    for (;;) {
        struct pollfd ready[] = { { group, POLLIN, 0 }, { pidfd, POLLIN, 0 } };
        poll(ready, 2, -1);
        if (!ready[0].revents)
            break;
        ssize_t length = read(group, events, sizeof events);
        struct fanotify_event_metadata *event = (void *)events;
        for (; FAN_EVENT_OK(event, length); event = FAN_EVENT_NEXT(event, length))
            if (event->fd >= 0)
                close(event->fd);
    }
    close(group);
    close(pidfd);
    wait(NULL);
}

int main(int count, char **words) {
    if (count > 1)
        rounds = atol(words[1]);
    struct {
        const char *name;
        void (*run)(int out);
    } ways[] = {
        { "nobody watches", by_nothing },
        { "seccomp notification, in turns", by_turns },
        { "seccomp notification", by_listener },
        { "ptrace by a filter", by_filtered_strace },
        { "ptrace of all calls", by_strace },
        { "fanotify, opens alone", by_fanotify },
    };
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
        double least = -1;
        for (int run = 0; run < 5; run++) {
            int ends[2];
            double each;
            if (pipe(ends))
                fail("pipe");
            fflush(stdout);
            ways[i].run(ends[1]);
            if (read(ends[0], &each, sizeof each) != sizeof each)
                fail("read");
            close(ends[0]);
            close(ends[1]);
            if (each >= 0 && (least < 0 || each < least))
                least = each;
        }
        if (least < 0)
            printf("%-32s not here (it takes CAP_SYS_ADMIN)\n", ways[i].name);
        else
            printf("%-32s %8.0f ns\n", ways[i].name, least);
    }
    return 0;
}
