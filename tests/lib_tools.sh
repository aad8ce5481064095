#!/bin/bash
# SPDX-License-Identifier: MIT
# lib_tools.sh - an application of the library under valgrind and with the thread sanitizer, with the options that CAVEATS.md names
#
#     tests/lib_tools.sh DIRECTORY     holding tests/lib and lib, as the build directory does; prints TAP
set -u
build=$(cd "${1:?directory}" && pwd)/tests/lib
n=0 failed=0

tap() { # tap STATUS NAME [DETAIL]; 77: does not apply here
	n=$((n + 1))
	case $1 in
	0) echo "ok $n - $2" ;;
	77) echo "ok $n - $2 # SKIP ${3:-}" ;;
	*) echo "not ok $n - $2"; failed=1; printf '%s\n' "${3:-}" | tail -20 | sed 's/^/# /' ;;
	esac
}

try() { # try NAME COMMAND...
	local name=$1 out rc
	shift
	out=$(timeout -k 5 120 "$@" 2>&1)
	rc=$?
	tap $rc "$name" "$out"
}

for engine in uffd segv; do
	try "plain, $engine" "$build/lib_sane" $engine
	if [ -x "$build/lib_sane_tsan" ]; then
		try "thread sanitizer, $engine" env TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1 "$build/lib_sane_tsan" $engine
	else
		tap 77 "thread sanitizer, $engine" "the compiler has none"
	fi
done
if command -v valgrind >/dev/null; then
	try "valgrind" valgrind -q --tool=none --vex-iropt-register-updates=allregs-at-mem-access "$build/lib_sane" segv
	try "memcheck finds no leak" valgrind -q --vex-iropt-register-updates=allregs-at-mem-access --error-limit=no --undef-value-errors=no \
		--leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite "$build/lib_sane" segv
else
	tap 77 valgrind "not installed"
fi
echo "1..$n"
exit $failed
