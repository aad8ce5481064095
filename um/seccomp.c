/* SPDX-License-Identifier: MIT */
/* seccomp.c - system calls trapped by a filter, where syscall user dispatch is missing
 *
 * The filter asks one thing: does the instruction lie in our text?  Then the call goes to the host; if not, SECCOMP_RET_TRAP makes it a
 * SIGSYS just as dispatch would.  Filters are inherited by threads, so one is enough; they cannot be taken off again. */
#include "um/um.h"
#include "um/trap.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#define PR_SET_NO_NEW_PRIVS 38

#define LD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(field))
#define JEQ(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(k), yes, no)
#define JGE(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)(k), yes, no)
#define RET(k) BPF_STMT(BPF_RET | BPF_K, (uint32_t)(k))

int um_arm_seccomp(void)
{
	const uint64_t lo = um.host_sigsys_text, hi = lo + um.host_sigsys_len;
	const unsigned ip = offsetof(struct seccomp_data, instruction_pointer);
	SF_ASSERT(lo >> 32 == hi >> 32);
	struct sock_filter f[] = {
		LD(ip + 4),
		JEQ(lo >> 32, 0, 3),
		LD(ip),
		JGE(lo, 0, 1),
		JGE(hi, 0, 1),
		RET(SECCOMP_RET_TRAP),
		RET(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(f), .filter = f };
	int64_t err = host_call5(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (err)
		return (int)err;
	return (int)host_call3(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, HC_A(&prog));
}
