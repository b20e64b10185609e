/* The least program there is: exit_group(0), without a C library. */
void _start(void) {
#if defined(__x86_64__)
    __asm__ volatile("mov $231, %eax\n xor %edi, %edi\n syscall");
#elif defined(__aarch64__)
    __asm__ volatile("mov x8, #94\n mov x0, #0\n svc #0");
#else
#error "add exit_group for this machine"
#endif
    for (;;) {
    }
}
