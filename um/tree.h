/* SPDX-License-Identifier: MIT */
/* tree.h - this process among the others of the tree */
#ifndef SF_UM_TREE_H
#define SF_UM_TREE_H

#include "um/um.h"

/* The helper's part of it (um/remote.c). */
int32_t um_remote_answer(struct thread *t, uint32_t what, const struct tree_question *q, void *window);

#define TREE_ROOM (64ull << 30) /* the last of our addresses are the tree's */

/* Map the tree (the first image makes it) and fill in the machine's share of it; nothing if there is neither bound nor swap. */
void um_tree_config(struct machine_config *mcfg);
/* Our number for the others; 0 if they could not use it. */
uint32_t um_tree_pid(void);
/* The first words of a forked child, before anything else can happen to it. */
void um_tree_forked(struct thread *t);
/* The process runs from now on: its entry lives and dies with it. */
void um_tree_born(struct thread *t);
/* The program's robust list has been dealt with. */
void um_tree_keep_watch(struct thread *t);
/* Have another process of the tree, by its number, answer a question (not 0) about itself or its thread tid.  A descriptor of that process, which stays open
 * while fn uses it through a path below /proc, or -errno; -ENOSYS: no such process, or no answer.  The result is fn's. */
int64_t um_tree_question(uint32_t pid, uint32_t what, uint32_t tid, int64_t (*fn)(const char *path, void *arg), void *arg);
/* Have it do something with its memory: copy len bytes at addr from or to buf, by its areas' rights or as a debugger; or take advice arg about them.  len is at
 * most TREE_WINDOW but for advice.  Bytes copied, or -errno; -ENOSYS: as above. */
enum { ASK_MEMORY = 64, ASK_READ = 64, ASK_WRITE, ASK_PEEK, ASK_POKE, ASK_ADVICE };
int64_t um_tree_memory(uint32_t pid, uint32_t what, uint32_t arg, vaddr_t addr, void *buf, uint64_t len);
bool um_tree_has(uint32_t pid);
bool um_process_alive(uint32_t pid);
/* Our own thread in a process of the tree, this one or another; 0: none that is known. */
uint32_t um_tree_helper(uint32_t pid);
/* A host call that wants a process without threads; ours goes meanwhile. */
int64_t um_tree_alone(struct thread *t, long nr, uint64_t a, uint64_t b);
/* Nothing left to evict anywhere.  True: somebody else has been killed or has made room, try again; false: we are the victim. */
bool um_tree_oom(struct thread *t);

#endif
