// Clock starts a program whose clock shows another time:
//
//	clock SHIFT PROGRAM [ARG]...    for instance: clock -490000h kedge agent
//
// It is for tests of machines whose clock is wrong. The machine's own clock is
// not touched, and only what the program itself asks for is shifted, not what
// files or other programs say.
//
// A static Go program asks the kernel's vDSO and makes no system call for the
// time, so that there is nothing to intercept. Clock stops the program at its
// exec (ptrace(2)), takes the vDSO's address out of its auxiliary vector, and
// answers clock_gettime, gettimeofday and time itself (seccomp_unotify(2)). The
// clock does not count as synchronised there. linux/amd64 only.
package main
