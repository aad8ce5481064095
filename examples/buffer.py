#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""buffer.py - a buffer larger than its bound, by ctypes

    buffer.py [MIB [BOUND_MIB]]      libsoftfault.so.0 is looked for by the loader (LD_LIBRARY_PATH)

Structures are declared up to the members that are used; struct_size says how far that is."""
import ctypes
import os
import sys
from ctypes import POINTER, byref, c_char_p, c_size_t, c_uint32, c_uint64, c_void_p

sf = ctypes.CDLL('libsoftfault.so.0')


class PoolOptions(ctypes.Structure):
    _fields_ = [('struct_size', c_size_t), ('bound', c_uint64), ('policy', c_char_p), ('engine', c_uint32), ('flags', c_uint32),
                ('store', c_void_p), ('store_bytes', c_uint64), ('window', c_uint64), ('workers', c_uint32), ('fork', c_uint32),
                ('warn', c_void_p), ('warn_arg', c_void_p)]


class PoolStats(ctypes.Structure):
    _fields_ = [('struct_size', c_size_t), ('bound', c_uint64), ('resident', c_uint64), ('peak_resident', c_uint64)]


sf.sf_pool_create.argtypes = [POINTER(PoolOptions), POINTER(c_void_p)]
sf.sf_pool_destroy.argtypes = [c_void_p]
sf.sf_pool_stats.argtypes = [c_void_p, POINTER(PoolStats)]
sf.sf_store_memory.argtypes = [c_uint64, POINTER(c_void_p)]
sf.sf_store_close.argtypes = [c_void_p]
sf.sf_map.argtypes = [c_void_p, c_uint64, c_void_p, POINTER(c_void_p), POINTER(c_void_p)]
sf.sf_unmap.argtypes = [c_void_p]


def check(err):
    if err < 0:
        raise OSError(-err, os.strerror(-err))


class Buffer:
    """size bytes of memory, of which at most bound are in RAM; .view is a writable memoryview."""

    def __init__(self, size, bound):
        self.pool, self.region, self.store, addr = c_void_p(), c_void_p(), c_void_p(), c_void_p()
        check(sf.sf_store_memory(size * 2, byref(self.store)))
        options = PoolOptions(struct_size=ctypes.sizeof(PoolOptions), bound=bound, store=self.store)
        check(sf.sf_pool_create(byref(options), byref(self.pool)))
        check(sf.sf_map(self.pool, size, None, byref(self.region), byref(addr)))
        self.view = memoryview((ctypes.c_ubyte * size).from_address(addr.value)).cast('B')

    def stats(self):
        st = PoolStats(struct_size=ctypes.sizeof(PoolStats))
        check(sf.sf_pool_stats(self.pool, byref(st)))
        return st

    def close(self):
        self.view = None
        check(sf.sf_unmap(self.region))
        check(sf.sf_pool_destroy(self.pool))
        check(sf.sf_store_close(self.store))


def main():
    size, bound = (int(x) << 20 for x in (sys.argv[1:] + ['64', '4'][len(sys.argv) - 1:]))
    b = Buffer(size, bound)
    for off in range(0, size, 4096):
        b.view[off:off + 8] = off.to_bytes(8, 'little')
    wrong = sum(int.from_bytes(b.view[off:off + 8], 'little') != off for off in range(0, size, 4096))
    st = b.stats()
    print(f'{size >> 20} MiB in {st.bound >> 20}: peak {st.peak_resident / (1 << 20):.1f} MiB, {wrong} wrong pages')
    b.close()
    return wrong != 0


if __name__ == '__main__':
    sys.exit(main())
