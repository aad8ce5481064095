/* SPDX-License-Identifier: MIT */
/* tree_test.c - members of a tree that die between any two steps: nothing that they held is lost, nothing is given out twice
 *
 * Three machines share one tree.  The first goes through what processes do with slots and frames and dies at the k-th step, for every k; the second clears
 * up after it and may die over that at the j-th step; the third clears up after both.  Then the tree is as if only the third had ever been. */
#include "harness.h"

#define BOUND 64u
#define SLOTS 127u
#define NR 3u

static struct sf_tree *tree;
static struct machine *machine[NR];
static struct port *port;
static struct fake_store store;
static bool living[NR + 1];
static uint32_t running; /* pid: number of the machine plus one */
static uint64_t steps_left;
static jmp_buf death;

static void step(void)
{
	if (steps_left && !--steps_left)
		longjmp(death, 1);
}

static bool alive(uint32_t pid) { return pid <= NR && living[pid]; }
static uint32_t self(void) { return running; }
static void no_wait(uint32_t *word, uint32_t val, uint64_t ns) {}
static void no_wake(uint32_t *word, int count) {}

static const struct tree_ops ops = { .alive = alive, .self = self, .wait = no_wait, .wake = no_wake, .step = step };

static void tree_anew(void)
{
	memset(tree, 0, (uintptr_t)tree_held(tree, &tree->member[8]) - (uintptr_t)tree); /* nobody came further */
	tree_init(tree, BOUND, SLOTS);
	tree_map(tree)[0] = 1;
	steps_left = 0;
	for (unsigned i = 0; i < NR; i++) {
		machine[i]->stats->swapped = 0;
		machine[i]->child = NULL;
		running = i + 1;
		living[running] = true;
		machine[i]->me = tree_join(machine[i], running, TREE_LIVE);
		machine[i]->me->life = 100 + running; /* a helper's */
	}
}

static int setup(void **state)
{
	tree = calloc(1, tree_bytes(SLOTS));
	tree_init(tree, BOUND, SLOTS);
	assert_int_equal(soft_port_create(RIG_LO, RIG_TASK_SIZE, &port), 0);
	fake_store_init(&store, SLOTS + 1);
	for (unsigned i = 0; i < NR; i++) {
		struct machine_config mc = {
			.port = port, .store = &store.s, .swap_slots = SLOTS, .bound_pages = BOUND, .mmap_min = RIG_LO, .task_size = RIG_TASK_SIZE,
			.mmap_base = RIG_MMAP_BASE, .tree = tree, .tree_ops = &ops, .pid = i + 1,
		};

		running = i + 1;
		living[running] = true;
		assert_int_equal(machine_create(&mc, &machine[i]), 0);
	}
	return 0;
}

static int teardown(void **state)
{
	tree_anew();
	for (unsigned i = 0; i < NR; i++)
		machine_destroy(machine[i]);
	soft_port_destroy(port);
	fake_store_fini(&store);
	free(tree);
	return 0;
}

/* As a machine whose process dies at the k-th step.  False: it came to the end of what it had to do. */
static bool dies_at(unsigned who, uint64_t k, void (*what)(struct machine *mc))
{
	running = who + 1;
	steps_left = k;
	if (!setjmp(death)) {
		what(machine[who]);
		steps_left = 0;
		return false;
	}
	living[who + 1] = false;
	machine[who]->me->life |= TREE_DEAD;
	return true;
}

static void end_of(unsigned who)
{
	living[who + 1] = false;
	machine[who]->me->life |= TREE_DEAD;
}

/* ---------------------------------------------------------------- what processes do */

static void take_share_and_give(struct machine *mc)
{
	uint64_t a, b;

	tree_grant_some(mc, mc->me, 10);
	unsigned n = swap_alloc(mc, 5, &a), m = swap_alloc(mc, 3, &b);

	tree_grant(mc, mc->me, BOUND + 1);
	mc->child = tree_join(mc, running, TREE_BORN);
	tree_grant(mc, mc->child, 7);
	for (unsigned i = 0; i < n; i++)
		swap_dup_for(mc, mc->child, a + i);
	swap_free(mc, a + 1, 2);
	swap_free(mc, b, m);
	tree_give(mc, mc->me, 4);
	tree_reap(mc, mc->child); /* the fork has failed */
	mc->child = NULL;
	swap_free(mc, a, 1);
}

static void clear_up(struct machine *mc)
{
	soft_advance(port, 3000000000ull);
	tree_reap_dead(mc);
}

static void assert_only(unsigned who)
{
	const struct tree_member *me = machine[who]->me;
	unsigned used = 0;

	for (uint64_t s = 0; s < SLOTS + 1; s++) {
		bool held = tree_held(tree, me)[s / 64] >> s % 64 & 1, taken = tree_map(tree)[s / 64] >> s % 64 & 1;

		assert_int_equal(taken, held || !s);
		assert_int_equal(tree_uses(tree)[s], held);
		used += held;
	}
	assert_int_equal(tree->slots_used, used);
	assert_int_equal(tree->granted, me->granted);
	assert_int_equal(tree->live, 1);
	for (unsigned i = 0; i < tree->top; i++)
		if (&tree->member[i] != me) {
			assert_int_equal(tree->member[i].state, TREE_FREE);
			assert_int_equal(tree->member[i].granted, 0);
			assert_int_equal(tree->member[i].moves & 1, 0);
		}
}

/* Slots and frames of its own, which nobody may take off it. */
static void hold_some(struct machine *mc)
{
	uint64_t slot;

	assert_int_equal(swap_alloc(mc, 4, &slot), 4);
	assert_int_equal(tree_grant_some(mc, mc->me, 9), 9);
}

static void begin(void)
{
	tree_anew();
	running = NR;
	hold_some(machine[NR - 1]);
}

/* ---------------------------------------------------------------- deaths */

static void death_between_any_two_steps_loses_nothing(void **state)
{
	bool died = true;
	uint64_t k;

	for (k = 1; died; k++) {
		begin();
		died = dies_at(0, k, take_share_and_give);
		end_of(0);
		end_of(1);
		running = NR;
		clear_up(machine[NR - 1]);
		clear_up(machine[NR - 1]);
		assert_only(NR - 1);
		tree_map(tree)[0] = 1;
	}
	assert_true(k > 60);
}

static void nor_does_the_death_of_who_clears_up(void **state)
{
	bool died = true;

	for (uint64_t k = 1; died; k++) {
		bool second = true;

		for (uint64_t j = 1; second; j++) {
			begin();
			died = dies_at(0, k, take_share_and_give);
			end_of(0);
			second = dies_at(1, j, clear_up);
			end_of(1);
			running = NR;
			clear_up(machine[NR - 1]);
			clear_up(machine[NR - 1]);
			assert_only(NR - 1);
		}
	}
}

/* A process that is replaced (execve) while one of its threads clears up after another goes on with it. */
static void new_image_ends_what_the_old_one_began(void **state)
{
	bool cut = true;

	for (uint64_t j = 1; cut; j++) {
		begin();
		dies_at(0, 20, take_share_and_give);
		end_of(0);
		cut = dies_at(1, j, clear_up);
		living[2] = true;
		machine[1]->me->life |= TREE_DEAD;
		running = 2;
		machine[1]->me = tree_join(machine[1], running, TREE_LIVE);
		assert_non_null(machine[1]->me);
		clear_up(machine[1]);
		end_of(1);
		running = NR;
		clear_up(machine[NR - 1]);
		clear_up(machine[NR - 1]);
		assert_only(NR - 1);
	}
}

static void joining_can_be_cut_short_too(void **state)
{
	volatile bool died = true;

	for (volatile uint64_t k = 1; died; k++) {
		tree_anew();
		tree_reap(machine[0], machine[0]->me);
		running = 1;
		steps_left = k;
		died = setjmp(death);
		if (!died)
			machine[0]->me = tree_join(machine[0], 1, TREE_LIVE);
		steps_left = 0;
		living[1] = living[2] = false;
		machine[1]->me->life |= TREE_DEAD;
		running = NR;
		clear_up(machine[NR - 1]);
		for (unsigned i = 0; i < TREE_MEMBERS - 1; i++) /* the entry is not lost */
			assert_non_null(tree_join(machine[NR - 1], NR, TREE_BORN));
		assert_null(tree_join(machine[NR - 1], NR, TREE_BORN));
		assert_int_equal(tree->live, TREE_MEMBERS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(death_between_any_two_steps_loses_nothing),
		cmocka_unit_test(nor_does_the_death_of_who_clears_up),
		cmocka_unit_test(new_image_ends_what_the_old_one_began),
		cmocka_unit_test(joining_can_be_cut_short_too),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
