/* Preloaded: limits stay as they are. Without CAP_SYS_RESOURCE crun cannot raise those that it wants. */
struct rlimit;

int setrlimit(int resource, const struct rlimit *limit) {
    (void)resource, (void)limit;
    return 0;
}

int setrlimit64(int resource, const struct rlimit *limit) { return setrlimit(resource, limit); }
