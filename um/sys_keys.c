/* SPDX-License-Identifier: MIT */
/* sys_keys.c - keyctl, command by command
 *
 * Keyrings are the host's, and hang off its processes, which are the program's.  A command that is not here takes numbers only. */
#include "um/args.h"
#include "um/syscall.h"

enum { JOIN_SESSION = 1, UPDATE = 2, DESCRIBE = 6, SEARCH = 10, READ = 11, INSTANTIATE = 12, GET_SECURITY = 17, INSTANTIATE_IOV = 20,
       DH_COMPUTE = 23, PKEY_QUERY = 24, PKEY_ENCRYPT = 25, PKEY_VERIFY = 28, RESTRICT = 29, CAPABILITIES = 31 };

#define PAYLOAD_MOST (1024u * 1024)
#define DH_PARAMS 12
#define PKEY_INFO 56

#define CMD(...) { .name = "keyctl", .restart = RS_SYS, ARGS(__VA_ARGS__) }
static const struct syscall_desc cmds[] = {
	[JOIN_SESSION] = CMD(INT, STR),
	[UPDATE]       = CMD(INT, INT, INB(3, 1), INT),
	[DESCRIBE]     = CMD(INT, INT, OUTB(3, 1), INT),
	[SEARCH]       = CMD(INT, INT, STR, STR, INT),
	[READ]         = CMD(INT, INT, OUTB(3, 1), INT),
	[INSTANTIATE]  = CMD(INT, INT, INB(3, 1), INT, INT),
	[GET_SECURITY] = CMD(INT, INT, OUTB(3, 1), INT),
	[PKEY_QUERY]   = CMD(INT, INT, INT, STR, OUT(PKEY_INFO)),
	[RESTRICT]     = CMD(INT, INT, STR, STR),
	[CAPABILITIES] = CMD(INT, OUTB(2, 1), INT),
};
static const struct syscall_desc plain = CMD(INT, INT, INT, INT, INT);

/* The vector's bytes together, as INSTANTIATE would have them. */
static int64_t instantiate_vector(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	struct rw rw = { .c = &c };
	if (t->arg[2] && !rw_import(&rw, t->arg[2], t->arg[3]))
		return call_end(&c, t->arg[3] > IOV_MOST ? -EINVAL : -EFAULT);
	if (rw.total > PAYLOAD_MOST)
		return call_end(&c, -EINVAL);
	char *all = call_mem(&c, rw.total + 1);
	uint64_t at = 0;
	c.a[0] = INSTANTIATE;
	c.a[2] = rw.total ? HC_A(all) : 0;
	for (uint64_t i = 0; all && i < rw.n && rw.total; at += rw.iov[i++].len)
		if (!copy_in(t, all + at, rw.iov[i].base, rw.iov[i].len))
			c.a[2] = BAD_USER; /* EPERM comes first */
	c.a[3] = rw.total;
	return call_end(&c, call_host(&c, t->nr));
}

struct kdf { uint64_t hash, other; uint32_t len, spare[8]; };

static int64_t dh_compute(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	c.a[1] = call_in(&c, t->arg[1], DH_PARAMS);
	c.a[2] = call_map(&c, t->arg[2], MIN(t->arg[3], RW_MOST), DIR_OUT);
	c.a[4] = call_in(&c, t->arg[4], sizeof(struct kdf));
	if (c.a[4] && !is_bad(c.a[4])) {
		struct kdf *k = (struct kdf *)c.a[4];
		k->hash = call_str(&c, k->hash);
		k->other = call_map(&c, k->other, k->len, DIR_IN);
	}
	return call_end(&c, call_host(&c, t->nr));
}

struct pkey_params { int32_t key; uint32_t in, out, spare[7]; };

static int64_t pkey(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	c.a[1] = call_in(&c, t->arg[1], sizeof(struct pkey_params));
	c.a[2] = call_str(&c, t->arg[2]);
	if (c.a[1] && !is_bad(c.a[1])) {
		const struct pkey_params *p = (const struct pkey_params *)c.a[1];
		c.a[3] = call_map(&c, t->arg[3], p->in, DIR_IN);
		c.a[4] = call_map(&c, t->arg[4], p->out, t->arg[0] == PKEY_VERIFY ? DIR_IN : DIR_OUT);
	}
	return call_end(&c, call_host(&c, t->nr));
}

int64_t sys_keyctl(struct thread *t)
{
	uint32_t cmd = (uint32_t)t->arg[0];
	if (cmd == INSTANTIATE_IOV)
		return instantiate_vector(t);
	if (cmd == DH_COMPUTE)
		return dh_compute(t);
	if (cmd >= PKEY_ENCRYPT && cmd <= PKEY_VERIFY)
		return pkey(t);
	return call_generic(t, cmd < ARRAY_SIZE(cmds) && cmds[cmd].name ? &cmds[cmd] : &plain);
}
