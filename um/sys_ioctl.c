/* SPDX-License-Identifier: MIT */
/* sys_ioctl.c - what an ioctl's argument is, by request
 *
 *   in the table        what it says: older requests carry no size, and some newer ones lie about it
 *   has _IOC direction  its direction and size bits
 *   neither             passed on if the argument cannot be a pointer, else ENOTTY
 *
 * Requests whose structures hold further pointers are refused unless they are in the table with a layout of their own. */
#include "um/syscall.h"

#define IOC_DIR(r)  ((r) >> 30)
#define IOC_SIZE(r) ((r) >> 16 & 0x3fff)
#define IOC_TYPE(r) ((r) >> 8 & 0xff)
#define IOC_WRITE 1u /* the program writes: the kernel reads */

enum { I_NUM = 0, I_IN = DIR_IN, I_OUT = DIR_OUT, I_INOUT = DIR_INOUT, I_FD, I_NEWFD, I_REFUSE, I_IFCONF, I_FIEMAP, I_DEDUPE };
struct request { uint32_t first, last; uint16_t size; uint8_t kind; };

/* A row may be a range; the first that fits counts. */
static const struct request table[] = {
	{ 0x0001, 0x0001, 4, I_INOUT },    /* FIBMAP */
	{ 0x0002, 0x0002, 4, I_OUT },      /* FIGETBSZ */
	{ 0x0301, 0x0301, 16, I_OUT },     /* HDIO_GETGEO */
	{ 0x125d, 0x125d, 4, I_IN },       /* BLKROSET */
	{ 0x125e, 0x125e, 4, I_OUT },      /* BLKROGET */
	{ 0x125f, 0x125f, 0, I_NUM },      /* BLKRRPART */
	{ 0x1260, 0x1260, 8, I_OUT },      /* BLKGETSIZE */
	{ 0x1261, 0x1262, 0, I_NUM },      /* BLKFLSBUF BLKRASET */
	{ 0x1263, 0x1263, 8, I_OUT },      /* BLKRAGET */
	{ 0x1264, 0x1264, 0, I_NUM },      /* BLKFRASET */
	{ 0x1265, 0x1265, 8, I_OUT },      /* BLKFRAGET */
	{ 0x1267, 0x1267, 2, I_OUT },      /* BLKSECTGET */
	{ 0x1268, 0x1268, 4, I_OUT },      /* BLKSSZGET */
	{ 0x1277, 0x1277, 16, I_IN },      /* BLKDISCARD */
	{ 0x1278, 0x127c, 4, I_OUT },      /* BLKIOMIN BLKIOOPT BLKALIGNOFF BLKPBSZGET BLKDISCARDZEROES */
	{ 0x127d, 0x127d, 16, I_IN },      /* BLKSECDISCARD */
	{ 0x127e, 0x127e, 2, I_OUT },      /* BLKROTATIONAL */
	{ 0x127f, 0x127f, 16, I_IN },      /* BLKZEROOUT */
	{ 0x4b33, 0x4b33, 1, I_OUT },      /* KDGKBTYPE */
	{ 0x4b3a, 0x4b3a, 0, I_NUM },      /* KDSETMODE */
	{ 0x4b3b, 0x4b3b, 4, I_OUT },      /* KDGETMODE */
	{ 0x4b44, 0x4b44, 4, I_OUT },      /* KDGKBMODE */
	{ 0x4b45, 0x4b45, 0, I_NUM },      /* KDSKBMODE */
	{ 0x4c00, 0x4c00, 0, I_FD },       /* LOOP_SET_FD */
	{ 0x4c01, 0x4c01, 0, I_NUM },      /* LOOP_CLR_FD */
	{ 0x4c04, 0x4c04, 232, I_IN },     /* LOOP_SET_STATUS64 */
	{ 0x4c05, 0x4c05, 232, I_OUT },    /* LOOP_GET_STATUS64 */
	{ 0x4c06, 0x4c06, 0, I_FD },       /* LOOP_CHANGE_FD */
	{ 0x4c07, 0x4c09, 0, I_NUM },      /* LOOP_SET_CAPACITY LOOP_SET_DIRECT_IO LOOP_SET_BLOCK_SIZE */
	{ 0x4c80, 0x4c82, 0, I_NUM },      /* LOOP_CTL_ADD LOOP_CTL_REMOVE LOOP_CTL_GET_FREE */
	{ 0x5401, 0x5401, 36, I_OUT },     /* TCGETS */
	{ 0x5402, 0x5404, 36, I_IN },      /* TCSETS TCSETSW TCSETSF */
	{ 0x5405, 0x5405, 18, I_OUT },     /* TCGETA */
	{ 0x5406, 0x5408, 18, I_IN },      /* TCSETA TCSETAW TCSETAF */
	{ 0x5409, 0x540e, 0, I_NUM },      /* TCSBRK TCXONC TCFLSH TIOCEXCL TIOCNXCL TIOCSCTTY */
	{ 0x540f, 0x540f, 4, I_OUT },      /* TIOCGPGRP */
	{ 0x5410, 0x5410, 4, I_IN },       /* TIOCSPGRP */
	{ 0x5411, 0x5411, 4, I_OUT },      /* TIOCOUTQ = SIOCOUTQ */
	{ 0x5412, 0x5412, 1, I_IN },       /* TIOCSTI */
	{ 0x5413, 0x5413, 8, I_OUT },      /* TIOCGWINSZ */
	{ 0x5414, 0x5414, 8, I_IN },       /* TIOCSWINSZ */
	{ 0x5415, 0x5415, 4, I_OUT },      /* TIOCMGET */
	{ 0x5416, 0x5418, 4, I_IN },       /* TIOCMBIS TIOCMBIC TIOCMSET */
	{ 0x5419, 0x5419, 4, I_OUT },      /* TIOCGSOFTCAR */
	{ 0x541a, 0x541a, 4, I_IN },       /* TIOCSSOFTCAR */
	{ 0x541b, 0x541b, 4, I_OUT },      /* FIONREAD = TIOCINQ = SIOCINQ */
	{ 0x541c, 0x541c, 0, I_REFUSE },   /* TIOCLINUX */
	{ 0x541d, 0x541d, 0, I_NUM },      /* TIOCCONS */
	{ 0x541e, 0x541e, 72, I_OUT },     /* TIOCGSERIAL */
	{ 0x541f, 0x541f, 72, I_IN },      /* TIOCSSERIAL */
	{ 0x5420, 0x5421, 4, I_IN },       /* TIOCPKT FIONBIO */
	{ 0x5422, 0x5422, 0, I_NUM },      /* TIOCNOTTY */
	{ 0x5423, 0x5423, 4, I_IN },       /* TIOCSETD */
	{ 0x5424, 0x5424, 4, I_OUT },      /* TIOCGETD */
	{ 0x5425, 0x5428, 0, I_NUM },      /* TCSBRKP TIOCSBRK TIOCCBRK */
	{ 0x5429, 0x5429, 4, I_OUT },      /* TIOCGSID */
	{ 0x542e, 0x542e, 32, I_OUT },     /* TIOCGRS485 */
	{ 0x542f, 0x542f, 32, I_INOUT },   /* TIOCSRS485 */
	{ 0x5437, 0x5437, 0, I_NUM },      /* TIOCVHANGUP */
	{ 0x5441, 0x5441, 0, I_NEWFD },    /* TIOCGPTPEER */
	{ 0x5450, 0x5451, 0, I_NUM },      /* FIONCLEX FIOCLEX */
	{ 0x5452, 0x5452, 4, I_IN },       /* FIOASYNC */
	{ 0x5456, 0x5456, 36, I_OUT },     /* TIOCGLCKTRMIOS */
	{ 0x5457, 0x5457, 36, I_IN },      /* TIOCSLCKTRMIOS */
	{ 0x5459, 0x5459, 4, I_OUT },      /* TIOCSERGETLSR */
	{ 0x545c, 0x545c, 0, I_NUM },      /* TIOCMIWAIT */
	{ 0x545d, 0x545d, 80, I_OUT },     /* TIOCGICOUNT */
	{ 0x5460, 0x5460, 8, I_OUT },      /* FIOQSIZE */
	{ 0x5600, 0x5600, 4, I_OUT },      /* VT_OPENQRY */
	{ 0x5601, 0x5601, 8, I_OUT },      /* VT_GETMODE */
	{ 0x5602, 0x5602, 8, I_IN },       /* VT_SETMODE */
	{ 0x5603, 0x5603, 6, I_OUT },      /* VT_GETSTATE */
	{ 0x5605, 0x5608, 0, I_NUM },      /* VT_RELDISP VT_ACTIVATE VT_WAITACTIVE VT_DISALLOCATE */
	{ 0x8901, 0x8902, 4, I_IN },       /* FIOSETOWN SIOCSPGRP */
	{ 0x8903, 0x8905, 4, I_OUT },      /* FIOGETOWN SIOCGPGRP SIOCATMARK */
	{ 0x8906, 0x8907, 16, I_OUT },     /* SIOCGSTAMP SIOCGSTAMPNS */
	{ 0x890b, 0x890c, 0, I_REFUSE },   /* SIOCADDRT SIOCDELRT: a name's pointer inside */
	{ 0x8910, 0x8911, 40, I_INOUT },   /* SIOCGIFNAME SIOCSIFLINK */
	{ 0x8912, 0x8912, 16, I_IFCONF },  /* SIOCGIFCONF */
	{ 0x8913, 0x893f, 40, I_INOUT },   /* SIOCGIFFLAGS … : struct ifreq without pointers */
	{ 0x8940, 0x8941, 0, I_REFUSE },   /* SIOCGIFBR SIOCSIFBR */
	{ 0x8942, 0x8943, 40, I_INOUT },   /* SIOCGIFTXQLEN SIOCSIFTXQLEN */
	{ 0x8946, 0x8946, 0, I_REFUSE },   /* SIOCETHTOOL */
	{ 0x8947, 0x8949, 40, I_INOUT },   /* SIOCGMIIPHY SIOCGMIIREG SIOCSMIIREG */
	{ 0x894c, 0x894c, 0, I_NEWFD },    /* SIOCGSKNS */
	{ 0x8953, 0x8955, 68, I_INOUT },   /* SIOCDARP SIOCGARP SIOCSARP */
	{ 0x8970, 0x8971, 40, I_INOUT },   /* SIOCGIFMAP SIOCSIFMAP */
	{ 0x8980, 0x89ff, 0, I_REFUSE },   /* bridges, VLANs, bonding, private */
	{ 0x8b00, 0x8bff, 0, I_REFUSE },   /* wireless */
	{ 0xb701, 0xb702, 0, I_NEWFD },    /* NS_GET_USERNS NS_GET_PARENT */
	{ 0xb703, 0xb703, 0, I_NUM },      /* NS_GET_NSTYPE */
	{ 0xb704, 0xb704, 4, I_OUT },      /* NS_GET_OWNER_UID */
	{ 0x400454ca, 0x400454ca, 40, I_INOUT }, /* TUNSETIFF */
	{ 0x400454c8, 0x400454c9, 0, I_NUM },  /* TUNSETNOCSUM TUNSETDEBUG */
	{ 0x400454cb, 0x400454ce, 0, I_NUM },  /* TUNSETPERSIST TUNSETOWNER TUNSETLINK TUNSETGROUP */
	{ 0x400454d0, 0x400454d0, 0, I_NUM },  /* TUNSETOFFLOAD */
	{ 0x400454d1, 0x400454d1, 0, I_REFUSE }, /* TUNSETTXFILTER: addresses follow */
	{ 0x401054d5, 0x401054d6, 0, I_REFUSE }, /* TUNATTACHFILTER TUNDETACHFILTER */
	{ 0x800454d2, 0x800454d2, 40, I_OUT }, /* TUNGETIFF */
	{ 0x40045436, 0x40045436, 0, I_NUM },  /* TIOCSIG */
	{ 0x40044590, 0x40044591, 0, I_NUM },  /* EVIOCGRAB EVIOCREVOKE */
	{ 0x40044581, 0x40044581, 0, I_NUM },  /* EVIOCRMFF */
	{ 0x40044900, 0x40044900, 0, I_NUM },  /* INOTIFY_IOC_SETNEXTWD */
	{ 0x40049409, 0x40049409, 0, I_FD },   /* FICLONE */
	{ 0x40045564, 0x4004556d, 0, I_NUM },  /* UI_SET_EVBIT … UI_SET_PROPBIT but for PHYS, which has a pointer's size */
	{ 0x4008556c, 0x4008556c, 0, I_REFUSE }, /* UI_SET_PHYS */
	{ 0x4008700c, 0x4008700c, 0, I_NUM },  /* RTC_IRQP_SET */
	{ 0x4008700e, 0x4008700e, 0, I_NUM },  /* RTC_EPOCH_SET */
	{ 0xc020660b, 0xc020660b, 32, I_FIEMAP },  /* FS_IOC_FIEMAP */
	{ 0xc0189436, 0xc0189436, 24, I_DEDUPE },  /* FIDEDUPERANGE */
};

/* Families whose structures are full of pointers or that map program memory into devices. */
static bool refused_family(uint32_t req)
{
	switch (IOC_TYPE(req)) {
	case 0xaa: /* userfaultfd */
	case 0xae: /* KVM */
	case 'd':  /* DRM */
	case 'A':  /* sound */
	case 'k':  /* SPI */
		return true;
	default:
		return false;
	}
}

static const struct request *find_request(uint32_t req)
{
	for (unsigned i = 0; i < ARRAY_SIZE(table); i++)
		if (req >= table[i].first && req <= table[i].last)
			return &table[i];
	return NULL;
}

/* ---------------------------------------------------------------- layouts of their own */

struct ifconf { int32_t len, pad; uint64_t buf; };

static int64_t ioctl_ifconf(struct call *c)
{
	struct thread *t = c->t;
	struct ifconf k;
	if (!copy_in(t, &k, t->arg[2], sizeof(k))) {
		c->a[2] = bad_address(t->arg[2]);
		return call_host(c, t->nr);
	}
	vaddr_t ubuf = k.buf;
	k.buf = k.len > 0 ? call_map(c, ubuf, (uint32_t)k.len, DIR_OUT) : ubuf;
	c->a[2] = HC_A(&k);
	int64_t r = call_host(c, t->nr);
	k.buf = ubuf;
	return !r && !copy_out(t, t->arg[2], &k, sizeof(k)) ? -EFAULT : r;
}

/* A head with a 32-bit or 16-bit count at some offset, then that many elements. */
static uint64_t map_counted(struct call *c, uint32_t head, uint32_t at, unsigned width, uint32_t elem)
{
	uint64_t n = 0;
	vaddr_t addr = c->t->arg[2];
	if (!addr || get_user_size(um.mm, &c->t->task, addr + at, width, &n))
		return bad_address(addr);
	return call_map(c, addr, head + MIN(n, IO_CHUNK / elem) * elem, DIR_INOUT);
}

/* ---------------------------------------------------------------- the call */

/* Neither table nor direction bits know it. */
static int64_t ioctl_unknown(struct call *c)
{
	int64_t r = host_call2(__NR_fcntl, c->a[0], 1 /* F_GETFD */);
	if (r < 0)
		return r;
	return c->t->arg[2] < um.mm->mmap_min ? call_sleep(c, c->t->nr) : -ENOTTY;
}

static int64_t ioctl_refused(struct call *c)
{
	int64_t r = host_call2(__NR_fcntl, c->a[0], 1 /* F_GETFD */);
	return r < 0 ? r : -ENOTTY;
}

static int64_t ioctl_encoded(struct call *c, uint32_t req)
{
	uint32_t dir = IOC_DIR(req), size = IOC_SIZE(req);
	if (refused_family(req))
		return ioctl_refused(c);
	if (!dir || !size)
		return ioctl_unknown(c);
	c->a[2] = call_map(c, c->t->arg[2], size, dir == IOC_WRITE ? DIR_IN : DIR_INOUT);
	return call_sleep(c, c->t->nr);
}

static int64_t ioctl_known(struct call *c, const struct request *q)
{
	vaddr_t arg = c->t->arg[2];
	switch (q->kind) {
	case I_NUM:    break;
	case I_IN:     c->a[2] = call_in(c, arg, q->size); break;
	case I_OUT:
	case I_INOUT:  c->a[2] = call_map(c, arg, q->size, q->kind); break;
	case I_FD:     c->a[2] = fd_arg(arg); break;
	case I_NEWFD:  return fd_result(call_host(c, c->t->nr));
	case I_REFUSE: return ioctl_refused(c);
	case I_IFCONF: return ioctl_ifconf(c);
	case I_FIEMAP: c->a[2] = map_counted(c, 32, 24, 4, 56); break;
	case I_DEDUPE: c->a[2] = map_counted(c, 24, 16, 2, 32); break;
	}
	return call_sleep(c, c->t->nr);
}

int64_t sys_ioctl(struct thread *t)
{
	struct call c;
	uint32_t req = (uint32_t)t->arg[1];
	const struct request *q = find_request(req);
	call_begin(&c, t);
	c.a[0] = fd_arg(t->arg[0]);
	return call_end(&c, q ? ioctl_known(&c, q) : ioctl_encoded(&c, req));
}
