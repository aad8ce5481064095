#!/bin/bash
# SPDX-License-Identifier: MIT
# patch.sh BUILD_DIR - call sites that are replaced by jumps: that they are, that nothing else changes, and that --no-patch is obeyed.  Prints TAP.
set -u
build=$(cd "${1:?usage: patch.sh BUILD_DIR}" && pwd) || exit 1
sf=$build/softfault
progs=$build/tests
[ -d "$progs/progs" ] && progs=$progs/progs
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export TMPDIR=$work
n=0 failed=0

tap() { # STATUS NAME
	n=$((n + 1))
	[ "$1" = 0 ] && { echo "ok $n - $2"; return; }
	echo "not ok $n - $2"
	failed=1
	head -5 out err 2>/dev/null | sed 's/^/# /'
	grep -E 'patched|"syscalls' stats 2>/dev/null | sed 's/^/# /'
}
event() { sed -n "s/^ *\"$1\": \([0-9]*\),*\$/\1/p" stats; }
soft() { timeout 120 "$sf" run --stats=json -o stats "${opts[@]}" -- "$@" >out 2>err </dev/null; }
right() { soft "$progs/$@" && grep -qx right out; }

for e in uffd segv; do
	"$sf" run --engine $e -q -- /bin/true 2>/dev/null || { echo "# engine $e does not work here"; continue; }
	for linked in '' -static; do
		for after in 1 7 100; do
			opts=(--engine $e --patch-after $after)
			right patch$linked calls && [ "$(event patched_calls)" -gt 10000 ]
			tap $? "$e: calls by patched sites disturb nothing (patch$linked, after $after)"
		done
		for what in text write gs gs-quietly step; do
			opts=(--engine $e --patch-after 1)
			right patch$linked $what && [ "$(event patched_sites)" -gt 0 ]
			tap $? "$e: $what (patch$linked)"
		done
	done
	for more in '' '-m 2M' '--trap seccomp'; do
		opts=(--engine $e --patch-after 1 $more)
		right patch signals 2 && [ "$(event patched_calls)" -gt 1000 ]
		tap $? "$e: signals at any instruction ($more)"
	done
	opts=(--engine $e)
	right patch calls && [ "$(event patched_calls)" -gt 10000 ]
	tap $? "$e: sites are patched without being asked to"
	opts=(--engine $e --no-patch)
	right patch calls && [ "$(event patched_sites)" = 0 ] && [ "$(event patched_calls)" = 0 ]
	tap $? "$e: --no-patch leaves all as it is"
done
echo "1..$n"
exit $failed
