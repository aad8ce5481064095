// SPDX-License-Identifier: MIT
// access_cxx2.cc - the same templates once more, so that one copy of them is discarded
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

extern "C" int cxx_get2(const long *p, long *ret)
{
	return getter<long>().get(p, ret) | get_it(p, ret);
}
