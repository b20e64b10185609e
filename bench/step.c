/* step COMMAND…: prints the places of the instructions that COMMAND and its children execute before another
 * program takes their place, in steps of 16 bytes. For a static program at a fixed address; see `order`. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST 0x200000UL
#define SPAN 0x4000000UL

static unsigned char seen[SPAN >> 4];

static void look(pid_t pid)
{
	struct user_regs_struct registers;
	if (ptrace(PTRACE_GETREGS, pid, 0, &registers) != 0)
		return;
	unsigned long at = registers.rip - FIRST;
	if (at < SPAN)
		seen[at >> 4] = 1;
}

/* Whether the process runs the same file, as boxr-oci does when it starts itself from a safe place. */
static int is_it_again(pid_t pid, const char *program)
{
	char path[32];
	struct stat now, before;
	snprintf(path, sizeof path, "/proc/%d/exe", pid);
	return stat(path, &now) == 0 && stat(program, &before) == 0 && now.st_ino == before.st_ino &&
	       now.st_dev == before.st_dev;
}

int main(int count, char **words)
{
	if (count < 2)
		return 2;
	pid_t first = fork();
	if (first == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		execv(words[1], words + 1);
		return 127;
	}
	int status, living = 1;
	waitpid(first, &status, 0);
	ptrace(PTRACE_SETOPTIONS, first, 0, PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEEXEC);
	ptrace(PTRACE_SINGLESTEP, first, 0, 0);
	while (living > 0) {
		pid_t pid = waitpid(-1, &status, __WALL);
		if (pid < 0)
			break;
		if (!WIFSTOPPED(status)) {
			living--;
			continue;
		}
		int event = status >> 16, signal = WSTOPSIG(status);
		if (event == PTRACE_EVENT_EXEC && !is_it_again(pid, words[1])) {
			ptrace(PTRACE_CONT, pid, 0, 0);
			continue;
		}
		if (event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK)
			living++;
		if (event || signal == SIGTRAP || signal == SIGSTOP)
			signal = 0;
		look(pid);
		ptrace(PTRACE_SINGLESTEP, pid, 0, (void *)(long)signal);
	}
	for (unsigned long at = 0; at < sizeof seen; at++)
		if (seen[at])
			printf("%lx\n", FIRST + (at << 4));
	return 0;
}
