// SPDX-License-Identifier: MIT
// lib_cxx_test.cc - the library from C++: exceptions out of a handler that stood there before ours, objects in regions, scopes beside exceptions
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <vector>

#include <softfault.h>

#define CHECK(what)                                                             \
	do {                                                                    \
		if (!(what)) {                                                  \
			std::fprintf(stderr, "line %d: %s\n", __LINE__, #what); \
			std::exit(1);                                           \
		}                                                               \
	} while (0)

struct lost_page : std::runtime_error {
	const void *addr;
	explicit lost_page(const void *at) : std::runtime_error("lost page"), addr(at) {}
};

static void throwing(int, siginfo_t *si, void *)
{
	throw lost_page(si->si_addr);
}

static int alive;
struct counted {
	counted() { alive++; }
	~counted() { alive--; }
};

__attribute__((noinline)) static unsigned char read_through(const volatile unsigned char *p)
{
	counted c;

	return *p;
}

static int64_t odd_pages_fail(void *, void *buf, size_t len, uint64_t off)
{
	if (len > SF_PAGE || off / SF_PAGE % 2)
		return -EIO;
	std::memset(buf, 5, len);
	return static_cast<int64_t>(len);
}

template <typename T> struct in_region {
	typedef T value_type;
	static char *next;
	in_region() {}
	template <typename U> in_region(const in_region<U> &) {}
	T *allocate(size_t n)
	{
		char *at = next;

		next += (n * sizeof(T) + 63) / 64 * 64;
		return reinterpret_cast<T *>(at);
	}
	void deallocate(T *, size_t) {}
};
template <typename T> char *in_region<T>::next;

static void on_engine(uint32_t engine)
{
	sf_pool_options po = {};
	sf_store_ops ops = {};
	sf_map_options mo = {};
	sf_region *anon, *region;
	unsigned char *m;
	void *mem;
	sf_pool *pool;

	po.struct_size = sizeof(po);
	po.bound = 64 * SF_PAGE;
	po.engine = engine;
	CHECK(!sf_store_memory(1 << 26, &po.store));
	if (sf_pool_create(&po, &pool)) {
		CHECK(!sf_store_close(po.store));
		return;
	}
	ops.struct_size = sizeof(ops);
	ops.read = odd_pages_fail;
	mo.struct_size = sizeof(mo);
	mo.kind = SF_STORE;
	mo.prot = SF_READ;
	CHECK(!sf_store_create(&ops, nullptr, &mo.store));
	CHECK(!sf_map(pool, 100 * SF_PAGE, &mo, &region, &mem));
	m = static_cast<unsigned char *>(mem);

	unsigned caught = 0;
	for (unsigned i = 0; i < 100; i++) {
		try {
			CHECK(read_through(m + i * SF_PAGE + 3) == 5 && i % 2 == 0);
		} catch (const lost_page &e) {
			CHECK(i % 2 && e.addr == m + i * SF_PAGE + 3);
			caught++;
		}
		CHECK(!alive);
	}
	CHECK(caught == 50);

	for (unsigned i = 0; i < 100; i++) { // an exception within, but not out of, a scope
		struct sf_try t;

		if (!sf_try(&t)) {
			try {
				throw std::bad_alloc();
			} catch (const std::bad_alloc &) {
			}
			(void)*static_cast<volatile unsigned char *>(m + i * SF_PAGE);
			CHECK(!sf_try_end(&t));
			CHECK(i % 2 == 0);
		} else {
			CHECK(t.error == -EIO && i % 2);
		}
	}

	CHECK(!sf_map(pool, 64 << 20, nullptr, &anon, &mem));
	in_region<long>::next = static_cast<char *>(mem);
	{
		std::vector<long, in_region<long> > v;

		for (long i = 0; i < 300000; i++)
			v.push_back(i * i);
		for (long i = 0; i < 300000; i += 7)
			CHECK(v[static_cast<size_t>(i)] == i * i);
		try {
			(void)v.at(300000);
			CHECK(false);
		} catch (const std::out_of_range &) {
		}
	}
	CHECK(!sf_unmap(anon) && !sf_unmap(region));
	CHECK(!sf_store_close(mo.store) && !sf_pool_destroy(pool) && !sf_store_close(po.store));
}

int main()
{
	struct sigaction sa = {};

	sa.sa_sigaction = throwing;
	sa.sa_flags = SA_SIGINFO | SA_NODEFER;
	CHECK(!sigaction(SIGBUS, &sa, nullptr));
	on_engine(SF_ENGINE_UFFD);
	on_engine(SF_ENGINE_SEGV);
	std::puts("ok 1 - cxx");
	return 0;
}
