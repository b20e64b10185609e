/* lines MIB: writes so many MiB of lines of 100 bytes to stdout, 64 KiB at a time. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words) {
    static char block[64000];
    long left = (count > 1 ? atol(words[1]) : 1) * 1024 * 1024;
    memset(block, 'x', sizeof block);
    for (size_t at = 99; at < sizeof block; at += 100)
        block[at] = '\n';
    while (left > 0) {
        ssize_t written = write(1, block, sizeof block);
        if (written <= 0)
            return 1;
        left -= written;
    }
    return 0;
}
