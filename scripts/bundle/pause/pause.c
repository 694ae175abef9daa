/*
 * pause: the first process of every pod. It holds the pod's namespaces, collects
 * the exit status of orphans and ends on SIGTERM or SIGINT.
 *
 * It blocks all signals and waits for them in turn, so it needs no handlers,
 * and it uses no C library: the program is one page of code and its resident
 * memory is a few pages. Blocked signals reach the first process of a PID
 * namespace although it has no handler for them.
 */
#include <linux/signal.h>
#include <linux/wait.h>
#include <sys/syscall.h>

static long call(long nr, long a, long b, long c, long d)
{
#if defined(__x86_64__)
	long ret;
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return ret;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
#else
#error "pause.c knows no system calls of this architecture"
#endif
}

void _start(void)
{
	unsigned long all = ~0UL;

	call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, 0, sizeof(all));
	for (;;) {
		long sig = call(SYS_rt_sigtimedwait, (long)&all, 0, 0, sizeof(all));

		if (sig == SIGTERM || sig == SIGINT)
			call(SYS_exit_group, 0, 0, 0, 0);
		if (sig == SIGCHLD)
			while (call(SYS_wait4, -1, 0, WNOHANG, 0) > 0)
				;
	}
}
