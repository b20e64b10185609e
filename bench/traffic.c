/* Traffic over TCP and questions over UDP, for `cargo xtask bench networks`.
 *
 *   traffic serve PORT                     takes connections, one at a time: 'S' swallows all, 'P' gives each byte back
 *   traffic stream ADDRESS PORT SECONDS    sends as much as goes; prints bytes a second
 *   traffic echo ADDRESS PORT SECONDS      one byte there and back, again and again; prints how many a second
 *   traffic ask ADDRESS PORT NAME COUNT    asks a name server COUNT times, 16 questions under way; prints answers
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buffer[128 << 10];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static struct sockaddr_in place(const char *address, const char *port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
        die(address);
    return to;
}

static void at_once(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void serve(const char *port) {
    struct sockaddr_in here = place("0.0.0.0", port);
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 8))
        die("listen");
    for (;;) {
        int fd = accept(listener, 0, 0);
        char kind;
        at_once(fd);
        if (fd >= 0 && read(fd, &kind, 1) == 1) {
            ssize_t length;
            while ((length = read(fd, buffer, kind == 'P' ? 1 : sizeof buffer)) > 0)
                if (kind == 'P' && write(fd, buffer, length) != length)
                    break;
        }
        close(fd);
    }
}

static int reach(const char *address, const char *port, char kind) {
    struct sockaddr_in to = place(address, port);
    for (int tries = 0; tries < 200; tries++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (!connect(fd, (struct sockaddr *)&to, sizeof to)) {
            at_once(fd);
            if (write(fd, &kind, 1) == 1)
                return fd;
        }
        close(fd);
        usleep(20000);
    }
    die("connect");
    return -1;
}

static int stream(const char *address, const char *port, double seconds) {
    int fd = reach(address, port, 'S');
    double begin = now(), sent = 0;
    while (now() - begin < seconds) {
        ssize_t length = write(fd, buffer, sizeof buffer);
        if (length <= 0)
            die("write");
        sent += length;
    }
    printf("%.0f\n", sent / (now() - begin));
    return 0;
}

static int echo(const char *address, const char *port, double seconds) {
    int fd = reach(address, port, 'P');
    double begin = now(), count = 0;
    while (now() - begin < seconds) {
        for (int turn = 0; turn < 32; turn++)
            if (write(fd, "x", 1) != 1 || read(fd, buffer, 1) != 1)
                die("echo");
        count += 32;
    }
    printf("%.0f\n", count / (now() - begin));
    return 0;
}

/* A question for an address of IPv4 (RFC 1035), without the number in front. */
static int question(const char *name, unsigned char *to) {
    static const unsigned char head[] = {1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, tail[] = {0, 0, 1, 0, 1};
    unsigned char *at = to + 2;
    memcpy(at, head, sizeof head);
    at += sizeof head;
    while (*name) {
        size_t length = strcspn(name, ".");
        *at++ = length;
        memcpy(at, name, length);
        at += length;
        name += length + (name[length] == '.');
    }
    memcpy(at, tail, sizeof tail);
    return at + sizeof tail - to;
}

static int ask(const char *address, const char *port, const char *name, int count) {
    struct sockaddr_in to = place(address, port);
    struct timeval second = {.tv_sec = 1};
    unsigned char query[300];
    int length = question(name, query), fd = socket(AF_INET, SOCK_DGRAM, 0), sent = 0, heard = 0, refused = 0;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
    if (connect(fd, (struct sockaddr *)&to, sizeof to))
        die("connect");
    while (heard < count) {
        while (sent < count && sent - heard < 16) {
            query[0] = sent >> 8;
            query[1] = sent++;
            if (send(fd, query, length, 0) != length && errno != ECONNREFUSED)
                die("send");
        }
        if (recv(fd, buffer, sizeof buffer, 0) < 12) {
            /* A server that is about to listen. */
            if (errno != ECONNREFUSED || heard || refused++ > 150)
                die("recv");
            usleep(20000);
            sent = 0;
            continue;
        }
        /* An answer without an error, and with a record. */
        if ((buffer[3] & 15) || !buffer[7]) {
            fprintf(stderr, "no answer of use\n");
            return 1;
        }
        heard++;
    }
    printf("%d\n", heard);
    return 0;
}

int main(int count, char **words) {
    signal(SIGPIPE, SIG_IGN);
    if (count == 3 && !strcmp(words[1], "serve"))
        serve(words[2]);
    if (count == 5 && !strcmp(words[1], "stream"))
        return stream(words[2], words[3], atof(words[4]));
    if (count == 5 && !strcmp(words[1], "echo"))
        return echo(words[2], words[3], atof(words[4]));
    if (count == 6 && !strcmp(words[1], "ask"))
        return ask(words[2], words[3], words[4], atoi(words[5]));
    return 2;
}
