/*
 * What libseccomp makes of a profile, for comparison. Reads commands from stdin, one in a line:
 *   default ACTION | arch TOKEN | optimize LEVEL
 *   rule ACTION NAME COUNT (ARGUMENT OPERATOR A B)*
 *   number TOKEN NAME
 * and writes the program to stdout, or for "number" commands one number in a line. Like runc it leaves
 * out names that libseccomp does not know, and keeps exactly the architectures it is given.
 */
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static scmp_filter_ctx filter;

static void check(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "%s: %s\n", what, strerror(-result));
		exit(2);
	}
}

static void rule(void)
{
	uint32_t action;
	char name[128];
	unsigned count;
	struct scmp_arg_cmp comparisons[6];

	if (scanf("%" SCNu32 " %127s %u", &action, name, &count) != 3 || count > 6)
		exit(3);
	for (unsigned i = 0; i < count; i++) {
		unsigned op;
		if (scanf("%u %u %" SCNu64 " %" SCNu64, &comparisons[i].arg, &op, &comparisons[i].datum_a,
			  &comparisons[i].datum_b) != 4)
			exit(3);
		comparisons[i].op = (enum scmp_compare)op;
	}
	int number = seccomp_syscall_resolve_name(name);
	if (number != __NR_SCMP_ERROR)
		check(seccomp_rule_add_array(filter, action, number, count, comparisons), name);
}

int main(void)
{
	char command[32];
	int listed = 0;

	while (scanf("%31s", command) == 1) {
		uint32_t value;
		char name[128];

		if (!strcmp(command, "rule")) {
			rule();
		} else if (scanf("%" SCNu32, &value) != 1) {
			return 3;
		} else if (!strcmp(command, "default")) {
			filter = seccomp_init(value);
			if (!filter)
				return 3;
			check(seccomp_arch_remove(filter, SCMP_ARCH_NATIVE), "remove");
		} else if (!strcmp(command, "arch")) {
			check(seccomp_arch_add(filter, value), "arch");
			listed++;
		} else if (!strcmp(command, "optimize")) {
			check(seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, value), "optimize");
		} else if (!strcmp(command, "number")) {
			if (scanf("%127s", name) != 1)
				return 3;
			printf("%d\n", seccomp_syscall_resolve_name_arch(value, name));
		} else {
			return 3;
		}
	}
	if (filter && listed)
		check(seccomp_export_bpf(filter, STDOUT_FILENO), "export");
	return 0;
}
