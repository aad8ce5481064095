#!/bin/bash
# SPDX-License-Identifier: MIT
# examples.sh BUILD - each example does what it says, as an unprivileged user; and the program in README.md compiles and prints what is written there
cd "$(dirname "$0")/../.." || exit 1
B=$(readlink -f "${1:-build}")
place=$(mktemp -d "${TMPDIR:-/tmp}/softfault-examples.XXXXXX") || exit 1
trap 'rm -rf "$place"' EXIT
chmod 1777 "$place"
find "$B"/examples "$B"/lib -maxdepth 1 -type f \( -name "example_*" -o -name "libsoftfault.so.0*" \) -perm -100 -exec cp -t "$place" {} +
cp examples/buffer.py "$place" && ln -s libsoftfault.so.0.1.0 "$place/libsoftfault.so.0" || exit 1
user=()
[ "$(id -u)" != 0 ] || user=(setpriv --reuid=nobody --regid=nogroup --clear-groups --no-new-privs)
n=0 bad=0
result() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; bad=1; fi; }
run() { (cd "$place" && timeout -k 5 120 "${user[@]}" env LD_LIBRARY_PATH="$place" "$@"); }
says() { # says PATTERN NAME COMMAND...
	local want=$1 name=$2 out
	shift 2
	out=$(run "$@" 2>&1)
	grep -qE "$want" <<<"$out"
	result $? "$name"
	grep -qE "$want" <<<"$out" || sed 's/^/# /' <<<"$out"
}

# sort: numbers beyond the bound, against sort(1)
numbers() { run od -An -v -t u8 -w8 "$1" | tr -d ' '; }
run sh -c 'head -c 16777216 /dev/urandom > numbers'
want=$(numbers numbers | LC_ALL=C sort -n | cksum)
says 'peak [0-9.]+ of 2\.0 MiB' "sort: 16 MiB in a bound of 2" ./example_sort numbers 2
[ "$(numbers numbers | cksum)" = "$want" ]; result $? "sort: the same as by sort(1)"

# kvlog: what was set is there; killed at any time, a set is there wholly or not at all
run ./example_kvlog db set a 1 b two a 3
says '^3$' "kvlog: the last value of a key" ./example_kvlog db get a
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
	# killed somewhere between start and end
	run timeout -s KILL "0.0$((i * 3 % 10))" ./example_kvlog db set "x$i" "$i" "y$i" "$i" "z$i" "$i" 2>/dev/null
done 2>/dev/null
torn=$(run ./example_kvlog db list | grep '^[xyz]' | cut -c2- | sort | uniq -c | awk '$1 != 3')
[ -z "$torn" ]; result $? "kvlog: killed while it sets three keys, all three are there or none${torn:+:} $torn"
says '^two$' "kvlog: nothing set before is lost" ./example_kvlog db get b

says 'the stack is damaged: Bad address at 0x7ffffffff0' "stackwalk: a damaged stack ends the walk, not the program" ./example_stackwalk
says 'wrong words: 0; reads from the first file some, from the second some' "mirror: half of the store is lost, no data" ./example_mirror m1 m2 16
says '64 MiB in 4: peak [0-4]\.[0-9] MiB, 0 wrong pages' "buffer.py: 64 MiB in a bound of 4" python3 buffer.py 64 4
out=$(run ./example_policy)
awk '$1 == "latest" { l = $2 } $1 == "fifo" { f = $2 } END { exit !(l > 0 && l * 2 < f) }' <<<"$out"
result $? "policy: the new one has fewer than half of fifo's misses on a loop"

# The program of README.md, as printed, and its output, as printed.
block() { awk -v lang="$1" '/^## As a library/ { on = 1 } on && $0 == "```" lang && !in_block { in_block = 1; next } in_block && /^```/ { exit } in_block' README.md; }
block c >"$place/readme.c"
[ -s "$place/readme.c" ]; result $? "README: there is a program"
cc -Wall -Wextra -Werror -Iinclude "$place/readme.c" -o "$place/readme" -L"$B/lib" -lsoftfault; result $? "README: it compiles"
run ./readme >"$place/said" 2>&1
diff <(block text) "$place/said" | sed 's/^/# /'
cmp -s <(block text) "$place/said"; result $? "README: it prints what is printed below it"
echo "1..$n"
exit $bad
