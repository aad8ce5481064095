#!/bin/bash
# SPDX-License-Identifier: MIT
# tree.sh - whole process trees: the same output as natively, one bound for all, and nothing left behind by the dead
#
#     tests/tree.sh DIRECTORY     holding softfault, softfault-um and tests/; prints TAP
set -u
dir=$(cd "${1:?directory}" && pwd)
bin=$dir/softfault progs=$dir/tests
[ -x "$progs/fork_calls" ] || progs=$dir/tests/progs
work=$(mktemp -d "${TMPDIR:-/tmp}/sf-tree.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
n=0 failed=0

tap() { # tap STATUS NAME [DETAIL]
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		failed=1
		printf '%s\n' "${3:-}" | tail -12 | sed 's/^/# /'
	fi
}

run() { timeout -k 5 120 "$bin" run -q "$@" </dev/null; }

# same NAME OPTIONS -- COMMAND...: output and status as natively
same() {
	local name=$1 options=() want got
	shift
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	timeout -k 5 60 "$@" >native 2>native.err </dev/null
	want=$?
	run "${options[@]}" -- "$@" >out 2>err
	got=$?
	[ $got = $want ] && [ $want -lt 124 ] && cmp -s native out
	tap $? "$name" "status $got, natively $want
$(diff native out | head -8; head -4 err)"
}

pipeline='for i in 1 2 3 4 5 6; do (echo $i | sed s/1/x/ | tr x y) & wait; done | sort; cat <<EOF | wc -c
$(ls /usr | sort)
EOF
trap "echo bye" EXIT; a=$(seq 1 500); echo ${#a}; (exit 3); echo $?; sh -c "kill -9 \$\$"; echo $?'
others='sleep 60 & p=$!; while [ "$(readlink /proc/$p/exe)" != "$(readlink -f "$(command -v sleep)")" ]; do :; done; cd /proc/$p
sed "s/.* //" maps | grep -a -c sleep; tr "\0" " " <cmdline; ls task | wc -l; cut -d" " -f2,4,20 stat | sed "s/ $$ / parent /"; grep -E "^(Name|Threads)" status
[ $(sed -n "s/^VmRSS: *\([0-9]*\) kB/\1/p" status) = $(($(cut -d" " -f2 statm) * 4)) ] && [ $(grep -c "^Rss" smaps) = $(grep -c . maps) ] && echo agree
cat task/$p/comm; kill $p; wait $p; echo $?'
python='import subprocess, multiprocessing as m
print(subprocess.run(["echo", "x"], capture_output=True).stdout)
with m.Pool(2) as p: print(p.map(abs, range(-9, 9)))'

for engine in uffd segv; do
	for limit in "" 3M; do
		o=(--engine $engine ${limit:+-m $limit})
		for prog in fork_shared fork_calls; do
			same "$prog $engine $limit" "${o[@]}" -- "$progs/$prog"
			same "$prog-static $engine $limit" "${o[@]}" -- "$progs/$prog-static"
		done
		same "shell $engine $limit" "${o[@]}" -- bash -c "$pipeline"
		same "dash $engine $limit" "${o[@]}" -- dash -c 'for i in 1 2 3; do (echo $i; exit $i); echo $?; done; ls / | wc -l'
	done
	! command -v python3 >/dev/null || same "python $engine" --engine $engine -m 24M -- python3 -c "$python"
	! command -v perl >/dev/null || same "perl $engine" --engine $engine -m 6M -- \
		perl -e '$| = 1; for (1 .. 5) { my $p = fork(); exit($_ + 1) unless $p; waitpid($p, 0); print $? >> 8, "\n" }'
	same "xargs $engine" --engine $engine -m 6M -- sh -c 'ls /usr/bin | head -60 | xargs -P2 -n7 echo | wc -w'

	same "others' /proc $engine" --engine $engine -m 8M -- bash -c "$others"

	# pages copied because the child has them, and pages that are the parent's alone again
	run --engine $engine --fork-faults --stats=json -o stats -- "$progs/fork_cow" >out 2>err
	status=$?
	copied=$(sed -n 's/.*"cow_copied": \([0-9]*\).*/\1/p' stats) reused=$(sed -n 's/.*"cow_reused": \([0-9]*\).*/\1/p' stats)
	[ $status = 0 ] && [ "$copied" -ge 400 ] && [ "$copied" -lt 500 ] && [ "$reused" -ge 980 ] && [ "$reused" -lt 1100 ]
	tap $? "do_wp_page tells the sole owner from the sharer $engine" "status $status, copied $copied, reused $reused $(cat out err)"
	same "fork_cow at 2M $engine" --engine $engine --fork-faults -m 2M -- "$progs/fork_cow"

	# the child dies, the shell goes on
	run --engine $engine -m 8M --swap none -- sh -c 'head -c 64M /dev/zero | tail -c 32M | wc -c; echo go on' >out 2>err
	[ $? = 0 ] && grep -q '^go on$' out && [ "$(grep -c 'out of memory: killed process' err)" = 1 ]
	tap $? "out of memory kills the large one $engine" "$(cat out err)"

	# a sleeper gives what others need
	run --engine $engine -m 12M -- "$progs/tree_stress" 0 2000 >out 2>err &&
		run --engine $engine -m 12M -- sh -c "\"$progs/tree_stress\" 2 2000 7 & \"$progs/tree_stress\" 2 2000 8; wait" >out 2>err
	[ $? = 0 ] && [ "$(sort out | uniq -c | tr -s ' ')" = " 2 done" ] && [ ! -s err ]
	tap $? "two that do not fit together $engine" "$(cat out err)"

	# many that sleep with pages pinned and few frames each: slow, but nobody is killed while swap has room
	same "eight pipelines at 3M $engine" --engine $engine -m 3M -- bash -c \
		'for i in 1 2 3 4 5 6 7 8; do (ls -R /usr/share/doc | head -2000 | sort | uniq -c | awk "{ print \$2 }" | tail -1) & done; wait'

	# fork waits for frames as a fault does
	run --engine $engine -m 3M --swap "zram,$work" -- sh -c \
		'for i in $(seq 32); do "$1" -s 1 1 >/dev/null || echo bad & done; wait; echo end' sh "$progs/memcheck-static" >out 2>err
	[ $? = 0 ] && [ "$(cat out)" = end ] && [ ! -s err ]
	tap $? "32 processes at 3M $engine" "$(cat out err)"

	for swap in file zram; do
		o=(--engine $engine -m 6M)
		[ $swap = file ] || o=(--engine $engine -m 16M --swap "zram,$work")
		run "${o[@]}" -- "$progs/tree_stress" 5 200 >out 2>err
		[ $? = 0 ] && [ "$(cat out)" = "done" ] && [ ! -s err ]
		tap $? "stress $engine $swap" "$(cat out err)"
	done
done
echo "1..$n"
exit $failed
