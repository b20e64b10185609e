/* Lets User Mode Linux 6.1 run on processors with AMX.
 *
 * UML restores the floating-point state of its processes with PTRACE_SETREGSET and a buffer of 2,696
 * bytes, which holds AVX-512. The host takes only a buffer of the processor's full size (11,008 bytes
 * with AMX) and answers EFAULT (ptrace(2), Linux arch/x86/kernel/fpu/regset.c). ./run preloads this:
 * the same state, followed by zeroes; the header's bit map says that there is nothing in them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

typedef long (*ptrace_call)(enum __ptrace_request, ...);

/* More than any processor's state so far. */
static char whole[1 << 16];

/* The size that the host wants: what it would give. */
static size_t host_size(ptrace_call host, pid_t pid) {
    static size_t size;
    if (size == 0) {
        struct iovec all = { whole, sizeof whole };
        if (host(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &all) == 0) size = all.iov_len;
    }
    return size;
}

long ptrace(enum __ptrace_request request, ...) {
    static ptrace_call host;
    va_list words;
    va_start(words, request);
    pid_t pid = va_arg(words, pid_t);
    void *address = va_arg(words, void *);
    void *data = va_arg(words, void *);
    va_end(words);
    if (!host) host = (ptrace_call)dlsym(RTLD_NEXT, "ptrace");

    if (request != PTRACE_SETREGSET || address != (void *)NT_X86_XSTATE)
        return host(request, pid, address, data);
    const struct iovec *given = data;
    size_t size = host_size(host, pid);
    if (size <= given->iov_len) return host(request, pid, address, data);
    memcpy(whole, given->iov_base, given->iov_len);
    memset(whole + given->iov_len, 0, size - given->iov_len);
    struct iovec padded = { whole, size };
    return host(request, pid, address, &padded);
}
