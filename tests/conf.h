/* SPDX-License-Identifier: MIT */
/* conf.h - one suite over every port and engine: how a test touches program memory, whatever the memory is
 *
 *	for each face f that works here:
 *		rig_open(&r, f, bound, store_or_NULL);
 *		verdict = touch(&r, addr, PT_W, &byte, &report);
 *		rig_close(&r);
 *
 * On the soft port a touch is an instruction of its processor.  On a host port it is a real instruction of this process, and
 * signal handlers stand where the user-mode kernel's would. */
#ifndef SF_TESTS_CONF_H
#define SF_TESTS_CONF_H

#include "mm/mm.h"
#include "port/host/host.h"
#include "port/soft/soft.h"

#define CONF_LO     0x200000000000ull
#define CONF_HI     0x300000000000ull
#define CONF_OWN_HI 0x400000000000ull
#define CONF_BASE   (CONF_LO + 0x10000000ull)

struct face { const char *name; bool soft; enum host_engine engine; };
extern const struct face faces[3];
bool face_works(const struct face *f, const char **ret_why);

struct rig {
	const struct face *face;
	struct port *port;
	struct machine *mc;   /* NULL: the port alone */
	struct task task;     /* of the main thread */
	uint64_t host_calls;
};
void port_open(struct rig *r, const struct face *f, uint64_t bound);
void rig_open(struct rig *r, const struct face *f, uint64_t bound, struct store *store);
void rig_close(struct rig *r);

/* One thread's way to touch; the main thread's is made by the first rig. */
void touch_thread_start(struct task *tk);
void touch_thread_stop(void);

#define TOUCHED (-1) /* no fault was left over */
/* One access of one byte: PT_R, PT_W (from *byte) or PT_X (the byte there must be a RET on a host port).  TOUCHED, or the verdict. */
int touch(struct rig *r, struct task *tk, vaddr_t addr, unsigned access, uint8_t *byte, struct fault_report *ret);
/* The same without the core: TOUCHED, or 0 and the error code of the fault. */
int touch_raw(struct rig *r, vaddr_t addr, unsigned access, uint8_t *byte, unsigned *ret_err);
/* Faults that touches of this thread have taken so far. */
uint64_t touch_faults(void);

/* The user copies of this face. */
uint64_t conf_copy_from(struct rig *r, void *dst, vaddr_t src, uint64_t n);
uint64_t conf_copy_to(struct rig *r, vaddr_t dst, const void *src, uint64_t n);
uint64_t conf_clear(struct rig *r, vaddr_t dst, uint64_t n);
int64_t conf_strncpy(struct rig *r, char *dst, vaddr_t src, uint64_t n);
int conf_get(struct rig *r, vaddr_t src, unsigned size, uint64_t *ret);
int conf_put(struct rig *r, vaddr_t dst, unsigned size, uint64_t val);
int conf_cmpxchg(struct rig *r, vaddr_t addr, uint32_t old, uint32_t new_, uint32_t *ret_old);

/* The k-th call from now (1: the next) fails with -err, once; 0: none. */
void fail_host_call(uint64_t k, int err);
bool host_call_has_failed(void);
/* From now on this ioctl is -EINVAL, as on a host that does not know it; 0: none. */
void refuse_ioctl(unsigned long request);

/* conf_port.c: tests of the port alone, for the face in conf_face; number of those that failed. */
extern const struct face *conf_face;
int conf_port_tests(void);

#endif
