#!/bin/bash
# SPDX-License-Identifier: MIT
# symbols.sh - code that runs in handlers leans on nothing that a libc would bring
#
#     tests/symbols.sh BUILD_DIR
#
# The freestanding objects may use memcpy and its kin, sf_panic, and what they define themselves.  The kernel must have no undefined symbol,
# no stack protector, no thread-local storage and no access by %fs, which belongs to the program.
set -u
build=${1:?build directory}
allowed='^(memcpy|memmove|memset|memcmp|sf_panic|_GLOBAL_OFFSET_TABLE_|__start___ex_table|__stop___ex_table|__executable_start|etext|edata|end|_end)$'
n=0 failed=0

tap() { # tap STATUS NAME DETAIL
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		failed=1
		[ -z "$3" ] || printf '%s\n' "$3" | head -20 | sed 's/^/# /'
	fi
}
none() { [ -z "$2" ]; tap $? "$1" "$2"; } # none NAME TEXT: passes if there is no text

# A thin archive's members are the objects themselves.
undefined_beyond() { # undefined_beyond ARCHIVE...: symbols that none of them defines
	comm -23 <(nm -u "$@" | awk '$1 == "U" || $1 == "w" { print $2 }' | sort -u) \
		<(nm --defined-only "$@" | awk 'NF == 3 { print $3 }' | sort -u) | grep -vE "$allowed"
}

for lib in sf_core sf_host sf_um; do
	[ -s "$build/lib$lib.a" ] && [ "$(nm --defined-only "$build/lib$lib.a" 2>/dev/null | wc -l)" -gt 10 ]
	tap $? "$lib has symbols to look at" "no $build/lib$lib.a"
done
none "the core uses nothing but memcpy and its kin" "$(undefined_beyond "$build/libsf_core.a" | grep -vx host_table)" # the stores' way out
none "core and host port use nothing but memcpy and its kin" "$(undefined_beyond "$build/libsf_core.a" "$build/libsf_host.a")"
none "the whole kernel defines all that it uses" "$(nm -u "$build/softfault-um")"
none "no stack protector in the kernel" "$(nm "$build/softfault-um" | grep -i 'stack_chk')"
none "no thread-local storage in the kernel" "$(readelf -SlW "$build/softfault-um" | grep -E '\.tdata|\.tbss|^ *TLS ')"
none "no vector registers in the kernel" "$(objdump -d --no-show-raw-insn "$build/softfault-um" | grep -E "%[xyz]mm[0-9]")"
none "no access by %fs in the kernel" "$(objdump -d --no-show-raw-insn "$build/softfault-um" | grep '%fs:')"
none "the kernel asks for no interpreter and no library" "$(readelf -dlW "$build/softfault-um" | grep -E 'INTERP|NEEDED')"
none "no executable stack" "$(readelf -lW "$build/softfault-um" | grep GNU_STACK | grep E)"
none "no segment is writable and executable" "$(readelf -lW "$build/softfault-um" | grep LOAD | grep RWE)"
echo "1..$n"
exit $failed
