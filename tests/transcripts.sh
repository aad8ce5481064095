#!/bin/bash
# SPDX-License-Identifier: MIT
# transcripts.sh BUILD_DIR - programs that print what system calls answered, and what signals and threads did
#
# Each program of tests/progs (sys_*, sig_*, thread_*; dynamic and static) prints the same text whenever it runs.  Its output and exit status
# under softfault must be those of the native run: with each engine, in 2 MiB, with a compressed tier, and with system
# calls trapped by seccomp.  Prints TAP.
set -u
build=$(cd "${1:?usage: transcripts.sh BUILD_DIR}" && pwd) || exit 1
sf=$build/softfault
progs=$build/tests
[ -d "$progs/progs" ] && progs=$progs/progs
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export TMPDIR=$work
ulimit -c 0

# They ask for a second process; for its memory, which only processes under a bound tell of whole.
needs_fork=''
needs_bound='sys_remote'

skip() { echo "ok - $1 # SKIP $2"; }
report() { # STATUS NAME [FILE...]: on failure the files are shown
	if [ "$1" = 0 ]; then
		echo "ok - $2"
		return
	fi
	echo "not ok - $2"
	shift 2
	for f; do head -20 "$f" | sed "s|^|# ${f##*.}: |"; done
}

# ---------------------------------------------------------------- the ways to run a program

engines=
for e in uffd segv; do
	if "$sf" run --engine $e -q -- /bin/true 2>err; then
		engines="$engines $e"
	else
		echo "# engine $e: $(cat err)"
	fi
done
[ -n "$engines" ] || { echo "Bail out! no engine works"; exit 1; }

ways=()
for e in $engines; do
	ways+=("--engine $e" "--engine $e -m 2M")
done
if "$sf" run --trap seccomp -q -- /bin/true 2>err; then
	ways+=("--trap seccomp")
else
	echo "# seccomp: $(cat err)"
fi
ways+=("--patch-after 1" "-m 2M --swap zram")
few=("${ways[0]}" "${ways[-2]}") # for the second, static, linking of the same program

# The shell says so when a signal kills what it waits for.
quietly() { { "$@"; } 2>/dev/null; }
native() { timeout 60 "$@" >want.out 2>want.err </dev/null; }
soft() { timeout 60 "$sf" run -q "${opts[@]}" -- "$@" >got.out 2>got.err </dev/null; }

# compare NAME OPTIONS COMMAND...: with what the native run left in want.*
compare() {
	local name=$1 opts rc
	read -ra opts <<<"$2"
	shift 2
	quietly soft "$@"
	rc=$?
	echo "status $want, got $rc" >end.status
	diff want.out got.out >end.diff
	[ $rc = "$want" ] && [ ! -s end.diff ] && ! grep -q 'softfault: oops' got.err
	report $? "$name (${opts[*]})" end.status end.diff got.err
}

transcript() { # PROGRAM WAY...
	local name=$1 w
	shift
	if [[ " $needs_fork " == *" ${name%-static} "* ]]; then
		skip "$name" "needs fork"
		return
	fi
	quietly native "$progs/$name"
	want=$?
	for w; do
		[[ " $needs_bound " == *" ${name%-static} "* && $w != *-m* ]] && continue
		compare "$name" "$w" "$progs/$name"
	done
}

# ---------------------------------------------------------------- all of them

# Several at a time, as most of them sleep; each in a directory of its own.
jobs=0
job() {
	jobs=$((jobs + 1))
	[ $jobs -le 3 ] || wait -n
	local dir
	dir=$(printf '%s/job.%03d' "$work" $jobs)
	mkdir "$dir" && (cd "$dir" && TMPDIR=$dir "$@" >tap) &
}

found=0
for f in "$progs"/sys_* "$progs"/sig_* "$progs"/thread_*; do
	p=${f##*/}
	[ -f "$f" ] && [ -x "$f" ] || continue
	case $p in sig_die | sig_die-static) continue ;; esac
	found=$((found + 1))
	case $p in
	*-static) job transcript "$p" "${few[@]}" ;;
	*) job transcript "$p" "${ways[@]}" ;;
	esac
done
[ $found -gt 10 ] || { echo "Bail out! the programs are not in $progs"; exit 1; }

# Deaths: one a run.
deaths() {
	local how
	for how in $("$progs/sig_die"); do
		quietly native "$progs/sig_die" "$how"
		want=$?
		compare "die: $how" "${ways[0]}" "$progs/sig_die" "$how"
		compare "die: $how" "--engine ${engines##* } -m 2M" "$progs/sig_die" "$how"
	done
}
job deaths

# Signals from a process outside, while the program faults in 2 MiB.
outside() { # ENGINE
	quietly "$sf" run -q --engine "$1" -m 2M -- "$progs/sig_storm" receive pid 2000 >got.out 2>got.err </dev/null &
	"$progs/sig_storm" send pid 2000
	echo "sender ended with $?" >end.status
	wait
	[ "$(<got.out)" = "got 2000, disorder 0, last 2000" ]
	report $? "2000 signals from outside (--engine $1 -m 2M)" end.status got.out got.err
}
for e in $engines; do
	job outside "$e"
done

# What differs on purpose: dispatch of system calls is ours.
dispatch() {
	quietly "$sf" run -q -- "$progs/sig_context" dispatch >got.out 2>got.err
	report $? "a program that asks for syscall user dispatch gets EINVAL" got.out got.err
}
job dispatch

many_mappings() {
	timeout 120 "$sf" run --engine "$1" -q -- "$progs/sys_map" many >got.out 2>got.err
	report $? "shared mappings up to the host's limit end with ENOMEM, memory stays usable (--engine $1)" got.out got.err
}
if [ "$(</proc/sys/vm/max_map_count)" = 65530 ]; then
	for e in $engines; do
		job many_mappings "$e"
	done
fi
wait

cat job.*/tap | awk '/^(not )?ok - / { sub(/ok - /, "ok " ++n " - ") } /^not ok/ { bad = 1 } { print } END { print "1.." n; exit bad }'
