// SPDX-License-Identifier: MIT
// access_cxx.cc - the inlined accesses in templates, whose code the linker may discard together with its entries
#include <softfault.h>

template <typename T> static inline int get_it(const T *p, T *ret)
{
	return sf_get(p, ret);
}

template <typename T> struct getter {
	int get(const T *p, T *ret) const
	{
		return sf_get(p, ret);
	}
};

extern "C" int cxx_get(const long *p, long *ret)
{
	return getter<long>().get(p, ret) | get_it(p, ret);
}
