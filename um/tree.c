/* SPDX-License-Identifier: MIT */
/* tree.c - this process among the others: the shared tree, the helper, and who dies when memory is out
 *
 * The first image makes the tree's memory file; forked processes inherit the mapping, and later images map it again.
 *
 * The helper is a thread of ours beside the program's.  It sleeps until somebody asks this process for frames, which may otherwise be asleep for ever, and
 * it stands for the process's life: its robust list (the host's, not the program's) names the entry's life word, so the host marks the word when
 * the process dies, however it dies, and when it executes another program.  The helper must not keep the process alive: the last thread of the program
 * ends the process. */
#include "um/clone.h"
#include "um/proc.h"
#include "um/tree.h"

#include <linux/futex.h>

#define TREE_AT (OWN_HI - TREE_ROOM)
#define OOM_WAIT_NS 2000000ull

struct robust { uint64_t list, offset, pending, node; };

/* ---------------------------------------------------------------- what the core asks of us */

/* Zombies are dead. */
bool um_process_alive(uint32_t pid)
{
	struct { int32_t fd; int16_t events, revents; } p = { .events = 1 /* POLLIN */ };
	int64_t fd = host_call2(__NR_pidfd_open, pid, 0);
	const uint64_t now[2] = { 0, 0 };
	if (fd < 0)
		return fd != -ESRCH && fd != -EINVAL;
	p.fd = (int32_t)fd;
	int64_t r = host_call5(__NR_ppoll, HC_A(&p), 1, HC_A(now), 0, 8);
	host_call1(__NR_close, fd);
	return r <= 0;
}

static void shared_wait(uint32_t *word, uint32_t val, uint64_t ns)
{
	const uint64_t ts[2] = { ns / 1000000000ull, ns % 1000000000ull };
	host_call6(__NR_futex, HC_A(word), FUTEX_WAIT, val, ns == UINT64_MAX ? 0 : HC_A(ts), 0, 0);
}

static void shared_wake(uint32_t *word, int count)
{
	host_call6(__NR_futex, HC_A(word), FUTEX_WAKE, (uint32_t)count, 0, 0, 0);
}

static uint32_t own_pid(void) { return my_pid(); }

static const struct tree_ops ops = { .self = own_pid, .alive = um_process_alive, .wait = shared_wait, .wake = shared_wake };

/* ---------------------------------------------------------------- making */

static int64_t tree_file(uint64_t bytes)
{
	int64_t low = host_call2(__NR_memfd_create, HC_A("softfault-tree"), 0), fd;
	if (low < 0)
		return low;
	fd = host_call3(__NR_fcntl, low, 0 /* F_DUPFD */, um.shm->cfg.fd_base);
	host_call1(__NR_close, low);
	int64_t err = fd < 0 ? fd : host_call2(__NR_ftruncate, fd, bytes);
	return err ? err : fd;
}

uint32_t um_tree_pid(void) { return um.foreign_pids ? 0 : my_pid(); }

void um_tree_config(struct machine_config *mcfg)
{
	struct um_config *cfg = &um.shm->cfg;
	if (!cfg->bound_pages && !cfg->swap_slots)
		return;
	uint64_t bytes = tree_bytes(cfg->swap_slots);
	if (bytes > TREE_ROOM)
		um_fail(125, "a swap of %lu pages is too large", cfg->swap_slots);
	if (!um.again)
		cfg->tree_fd = (int32_t)tree_file(bytes);
	if (cfg->tree_fd < 0)
		um_fail(125, "cannot make the memory that processes share: error %d", -cfg->tree_fd);
	int64_t r = host_call6(__NR_mmap, TREE_AT, bytes, 3, 0x104011 /* SHARED|FIXED|NORESERVE|FIXED_NOREPLACE */, cfg->tree_fd, 0);
	if (r != (int64_t)TREE_AT)
		um_fail(125, "cannot map the memory that processes share: error %ld%s", -r, um_memory_hint((int)r));
	mcfg->tree = (struct sf_tree *)TREE_AT;
	mcfg->tree_ops = &ops;
	mcfg->pid = um_tree_pid();
	if (um.again)
		return;
	tree_init(mcfg->tree, cfg->bound_pages, cfg->swap_slots);
	mcfg->tree->root = my_pid();
}

/* ---------------------------------------------------------------- the helper */

/* The calling thread is the one whose end marks the process's entry. */
static void stand_for_life(struct thread *t, struct tree_member *me)
{
	static struct robust lists[2]; /* one is in use while the other is set up */
	static unsigned next;
	struct robust *r = &lists[next++ % 2];
	r->list = HC_A(&r->node);
	r->node = HC_A(&r->list);
	r->offset = HC_A(&me->life) - HC_A(&r->node);
	r->pending = 0;
	host_call2(__NR_set_robust_list, HC_A(r), 24);
	__atomic_store_n(&me->life, t->task.tid, __ATOMIC_RELEASE);
}

/* The program has no use for the host's list any more; without a helper yet, this thread stands for the process again. */
void um_tree_keep_watch(struct thread *t)
{
	struct tree_member *me = um.mc->me;
	if (me && READ_ONCE(me->life) == t->task.tid && t->proc == &um.first)
		stand_for_life(t, me);
	else
		host_call2(__NR_set_robust_list, 0, 24);
}

/* ---------------------------------------------------------------- questions of one process to another */

#define QUESTION_NS 300000000ull
#define QUESTION_TRIES 300

/* The helper's side. */
static void answer_question(struct thread *t, struct tree_question *q)
{
	static int64_t last = -1;
	uint32_t what = __atomic_exchange_n(&q->what, 0, __ATOMIC_ACQ_REL);
	if (!what)
		return;
	if (what >= ASK_MEMORY) {
		q->answer = um_remote_answer(t, what, q, tree_window(um.mc->tree, um.mc->me));
	} else {
		if (last >= 0)
			host_call1(__NR_close, last); /* whoever wanted it has it, or is gone */
		last = um_proc_answer(t, what, READ_ONCE(q->tid));
		q->answer = (int32_t)last;
	}
	q->answerer = t->task.tid;
	__atomic_fetch_add(&q->done, 1, __ATOMIC_RELEASE);
	shared_wake(&q->done, INT32_MAX);
}

static bool question_lock(struct tree_question *q)
{
	const uint64_t ms[2] = { 0, 1000000 };
	for (int i = 0; i < QUESTION_TRIES; i++) {
		uint32_t who = READ_ONCE(q->lock);
		if ((!who || !um_process_alive(who)) &&
		    __atomic_compare_exchange_n(&q->lock, &who, my_pid(), false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
		host_call2(__NR_nanosleep, HC_A(ms), 0);
	}
	return false;
}

/* A question that nobody has taken up is withdrawn after a while (the process may be stopped); one that has been is waited for. */
static bool question_ask(struct tree_member *m, uint32_t what, uint32_t tid)
{
	struct tree_question *q = &m->question;
	uint32_t done = __atomic_load_n(&q->done, __ATOMIC_ACQUIRE), pid = READ_ONCE(m->pid);
	WRITE_ONCE(q->tid, tid);
	__atomic_store_n(&q->what, what, __ATOMIC_RELEASE);
	__atomic_fetch_add(&m->wake, 1, __ATOMIC_RELEASE);
	shared_wake(&m->wake, 1);
	do {
		shared_wait(&q->done, done, QUESTION_NS);
		if (__atomic_load_n(&q->done, __ATOMIC_ACQUIRE) != done)
			return true;
	} while (!__atomic_exchange_n(&q->what, 0, __ATOMIC_ACQ_REL) && um_process_alive(pid) && READ_ONCE(m->pid) == pid);
	return false;
}

static struct tree_member *member_of(uint32_t pid)
{
	struct sf_tree *tree = um.mc->tree;
	for (uint32_t i = 0; tree && pid && i < READ_ONCE(tree->top); i++) {
		struct tree_member *m = &tree->member[i];
		if (READ_ONCE(m->state) == TREE_LIVE && READ_ONCE(m->pid) == pid && !(READ_ONCE(m->life) & TREE_DEAD))
			return m;
	}
	return NULL;
}

/* A process that has just been forked may not have had its first words yet, and nobody knows its number. */
static bool some_unborn(void)
{
	struct sf_tree *tree = um.mc->tree;
	for (uint32_t i = 0; tree && i < READ_ONCE(tree->top); i++)
		if (READ_ONCE(tree->member[i].state) == TREE_BORN)
			return true;
	return false;
}

static struct tree_member *member_wait(uint32_t pid)
{
	const uint64_t ms[2] = { 0, 1000000 };
	struct tree_member *m = member_of(pid);
	for (int i = 0; !m && i < QUESTION_TRIES && some_unborn(); i++) {
		host_call2(__NR_nanosleep, HC_A(ms), 0);
		m = member_of(pid);
	}
	return m;
}

bool um_tree_has(uint32_t pid) { return member_wait(pid); }

uint32_t um_tree_helper(uint32_t pid)
{
	if (pid == my_pid())
		return um.helper_tid;
	struct tree_member *m = member_of(pid);
	uint32_t life = m ? READ_ONCE(m->life) : 0;
	return life == pid ? 0 : life; /* it stands for the process's life; before it does, the first thread */
}

int64_t um_tree_question(uint32_t pid, uint32_t what, uint32_t tid, int64_t (*fn)(const char *path, void *arg), void *arg)
{
	struct tree_member *m = member_of(pid);
	char path[48];
	if (!m || m == um.mc->me || !question_lock(&m->question))
		return -ENOSYS;
	int64_t r = question_ask(m, what, tid) ? m->question.answer : -ENOSYS;
	if (r >= 0) {
		um_snprintf(path, sizeof(path), "/proc/%u/fd/%d", m->question.answerer, (int)r);
		r = fn(path, arg);
	}
	__atomic_store_n(&m->question.lock, 0, __ATOMIC_RELEASE);
	return r;
}

int64_t um_tree_memory(uint32_t pid, uint32_t what, uint32_t arg, vaddr_t addr, void *buf, uint64_t len)
{
	struct tree_member *m = member_wait(pid);
	if (!m || m == um.mc->me || !question_lock(&m->question))
		return -ENOSYS;
	void *window = tree_window(um.mc->tree, m);
	m->question.addr = addr;
	m->question.len = len;
	if (what == ASK_WRITE || what == ASK_POKE)
		memcpy(window, buf, len);
	int64_t r = question_ask(m, what, arg) ? m->question.answer : -ENOSYS;
	if (r > 0 && (what == ASK_READ || what == ASK_PEEK))
		memcpy(buf, window, (uint64_t)r);
	__atomic_store_n(&m->question.lock, 0, __ATOMIC_RELEASE);
	return r;
}

/* ---------------------------------------------------------------- the helper's life */

static bool helper_stop;

static void helper(struct thread *t)
{
	const uint64_t all = ~0ull;
	struct tree_member *me = um.mc->me;
	host_call4(__NR_rt_sigprocmask, SIG_SETMASK, HC_A(&all), 0, 8);
	stand_for_life(t, me);
	for (;;) {
		uint32_t seen = __atomic_load_n(&me->wake, __ATOMIC_ACQUIRE);
		while (READ_ONCE(helper_stop))
			host_call1(__NR_exit, 0);
		tree_answer(um.mm);
		answer_question(t, &me->question);
		if (!READ_ONCE(me->asked) && !READ_ONCE(me->question.what))
			shared_wait(&me->wake, seen, UINT64_MAX);
	}
}

void um_tree_forked(struct thread *t)
{
	struct tree_member *m = um.mc->child;
	if (!m)
		return;
	if (!tree_claim(m, um.mc->me->pid, (uint32_t)host_call0(__NR_getpid))) {
		um_log("a forked process began to run so long after its parent's death that it had been given up");
		um_exit_group(128 + SIGKILL);
	}
	stand_for_life(t, m);
}

/* A process that cannot have a helper lives without: its own thread stands for it. */
void um_tree_born(struct thread *t)
{
	if (!um.mc->tree)
		return;
	if (um.again || t->task.tid == um.mc->tree->root)
		stand_for_life(t, um.mc->me);
	um.helper_tid = um_kernel_thread(t, helper);
}

#define ALONE_TRIES 2000

/* How the host says that it wants a process without threads. */
static bool wants_alone(int64_t r) { return r == -EINVAL || r == -87 /* EUSERS: name spaces of time */; }

/* The host counts a thread for a moment longer than we can see it. */
int64_t um_tree_alone(struct thread *t, long nr, uint64_t a, uint64_t b)
{
	int64_t r = host_call2(nr, a, b);
	if (!wants_alone(r) || !um.helper_tid || t->proc != &um.first || READ_ONCE(t->proc->threads) > 1)
		return r;
	struct tree_member *me = um.mc->me;
	stand_for_life(t, me);
	WRITE_ONCE(helper_stop, true);
	__atomic_fetch_add(&me->wake, 1, __ATOMIC_RELEASE);
	shared_wake(&me->wake, 1);
	for (int i = 0; i < ALONE_TRIES && wants_alone(r); i++) {
		const uint64_t ts[2] = { 0, 20000 };
		host_call2(__NR_nanosleep, HC_A(ts), 0);
		r = host_call2(nr, a, b);
		if (wants_alone(r) && i > 100 && host_call3(__NR_tgkill, my_pid(), um.helper_tid, 0) == -ESRCH)
			break; /* for a reason of its own, then */
	}
	WRITE_ONCE(helper_stop, false);
	um.helper_tid = um_kernel_thread(t, helper);
	return r;
}

/* ---------------------------------------------------------------- out of memory (rows 31, 32) */

static int64_t oom_adjustment(uint32_t pid)
{
	char path[40], text[16] = "";
	um_snprintf(path, sizeof(path), "/proc/%u/oom_score_adj", pid);
	int64_t fd = host_call4(__NR_openat, -100, HC_A(path), 02000000 /* O_CLOEXEC */, 0), v = 0;
	if (fd < 0)
		return 0;
	host_call3(__NR_read, fd, HC_A(text), sizeof(text) - 1);
	host_call1(__NR_close, fd);
	const char *s = text + (text[0] == '-');
	for (; *s >= '0' && *s <= '9'; s++)
		v = v * 10 + (*s - '0');
	return text[0] == '-' ? -v : v;
}

/* Source: Linux oom_badness. */
static int64_t badness(const struct sf_tree *tree, const struct tree_member *m)
{
	int64_t adj = oom_adjustment(m->pid ? m->pid : my_pid()), total = (int64_t)(tree->bound + tree->nr_slots);
	if (adj == -1000)
		return INT64_MIN;
	return (int64_t)(m->used + m->swapped) + adj * total / 1000;
}

/* The first process only when there is nobody else. */
static struct tree_member *choose_victim(struct sf_tree *tree)
{
	struct tree_member *best = NULL;
	int64_t most = INT64_MIN;
	for (unsigned i = 0; i < READ_ONCE(tree->top); i++) {
		struct tree_member *m = &tree->member[i];
		if (READ_ONCE(m->state) != TREE_LIVE || m->life & TREE_DEAD || (!m->pid && m != um.mc->me))
			continue;
		int64_t b = badness(tree, m);
		if (b == INT64_MIN)
			continue;
		if (m->pid == tree->root)
			b = INT64_MIN + 1;
		if (b > most) {
			most = b;
			best = m;
		}
	}
	return best;
}

static void report_kill(const struct tree_member *m)
{
	char comm[32] = "", path[40];
	um_snprintf(path, sizeof(path), "/proc/%u/comm", m->pid);
	int64_t fd = host_call4(__NR_openat, -100, HC_A(path), 02000000, 0);
	int64_t n = fd < 0 ? 0 : host_call3(__NR_read, fd, HC_A(comm), sizeof(comm) - 1);
	if (fd >= 0)
		host_call1(__NR_close, fd);
	comm[n > 0 ? n - 1 : 0] = 0;
	um_snprintf(um.shm->killed_by, sizeof(um.shm->killed_by),
		    "out of memory: killed process %u (%s), resident %lu kB, swapped %lu kB", m->pid, comm, m->used * 4, m->swapped * 4);
	um_log("%s", um.shm->killed_by);
}

/* One process chooses at a time; if it dies over that, the next one takes its place. */
static bool begin_choice(struct sf_tree *tree)
{
	uint32_t none = 0;
	if (__atomic_compare_exchange_n(&tree->oom, &none, my_pid(), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return true;
	if (!um_process_alive(none))
		__atomic_compare_exchange_n(&tree->oom, &none, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	return false;
}

static void wait_for_end(struct tree_member *m)
{
	uint32_t pid = m->pid;
	for (int i = 0; i < 1000 && READ_ONCE(m->state) == TREE_LIVE && m->pid == pid && !tree_reap_dead(um.mc); i++)
		shared_wait(&um.mc->tree->freed, READ_ONCE(um.mc->tree->freed), OOM_WAIT_NS);
}

/* One death at a time: the last one's may be what was needed. */
static bool victim_is_dying(struct sf_tree *tree)
{
	uint32_t pid = READ_ONCE(tree->victim);
	struct tree_member *m = pid && pid != my_pid() ? member_of(pid) : NULL;
	WRITE_ONCE(tree->victim, 0);
	if (!m || !um_process_alive(pid))
		return false;
	wait_for_end(m);
	return true;
}

bool um_tree_oom(struct thread *t)
{
	struct sf_tree *tree = um.mc->tree;
	if (!begin_choice(tree)) {
		shared_wait(&tree->freed, READ_ONCE(tree->freed), OOM_WAIT_NS);
		return true;
	}
	bool room = victim_is_dying(tree) || tree_reap_dead(um.mc) || READ_ONCE(tree->granted) < tree->bound;
	struct tree_member *m = room ? NULL : choose_victim(tree);
	bool me = m == um.mc->me;
	if (m) {
		report_kill(m);
		WRITE_ONCE(tree->victim, m->pid);
		if (!me) {
			host_call2(__NR_kill, m->pid, SIGKILL);
			wait_for_end(m);
		}
	}
	__atomic_store_n(&tree->oom, 0, __ATOMIC_RELEASE);
	if (m && !me)
		sf_count(&um.shm->stats.oom_kills, 1);
	return room || (m && !me);
}
