#!/bin/bash
# SPDX-License-Identifier: MIT
# command.sh - the command as its users see it: statuses, messages, descriptors, signals, reports, swap files
#
#     tests/command.sh DIRECTORY     holding softfault and softfault-um; prints TAP
set -u
bin=$(cd "${1:?directory}" && pwd)/softfault
work=$(mktemp -d "${TMPDIR:-/tmp}/sf-command.XXXXXX") || exit 1
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

# ends NAME STATUS PATTERN COMMAND...: exit status, and a line of stderr that fits the pattern (empty: stderr must be empty)
ends() {
	local name=$1 status=$2 pattern=$3 got
	shift 3
	timeout -k 5 60 "$@" >out 2>err </dev/null
	got=$?
	if [ $got != "$status" ]; then
		tap 1 "$name" "status $got, not $status: $(cat err)"
	elif [ -z "$pattern" ]; then
		[ ! -s err ]
		tap $? "$name" "$(cat err)"
	else
		grep -qE -- "$pattern" err
		tap $? "$name" "stderr lacks '$pattern': $(cat err)"
	fi
}

one_line() { # one_line NAME STATUS PATTERN COMMAND...: the same, and stderr is that one line
	ends "$@"
	[ "$(wc -l <err)" = 1 ]
	tap $? "$1: one line" "$(cat err)"
}

run() { "$bin" run "$@"; }

# ---------------------------------------------------------------- options
one_line "size that does not parse" 125 "^softfault: run: -m: '3X' is not a size" "$bin" run -m 3X true
one_line "negative size" 125 "'-5M' is not a size" "$bin" run -m -5M true
one_line "size beyond 64 bits" 125 "too large" "$bin" run -m 16E true
one_line "bound too small names the minimum" 125 "too small, the minimum is 1024K" "$bin" run -m 8K true
one_line "unknown engine names the known" 125 "known: auto, uffd, segv" "$bin" run --engine x true
one_line "unknown policy names the known" 125 "unknown 'lru' \(known: .*twolist" "$bin" run --policy lru true
one_line "unknown option" 125 "unknown option '--bogus'" "$bin" run --bogus true
one_line "option without value" 125 "'-m' wants a value" "$bin" run -m
one_line "no program" 125 "no program given" "$bin" run -m 64M
one_line "report cannot be written" 125 "cannot write '/nosuch/x': No such file" "$bin" run -o /nosuch/x true
one_line "trace cannot be written" 125 "cannot write trace '/nosuch/x': No such file" "$bin" run --trace /nosuch/x true
for c in "--help" "run --help" "doctor --help" "trace --help" "--version"; do
	ends "softfault $c" 0 "" "$bin" $c
	[ -s out ]
	tap $? "softfault $c says something"
done
one_line "unknown subcommand" 125 "unknown subcommand 'frob'" "$bin" frob
ends "options end at the program" 0 "" "$bin" run -q echo -m 3X
[ "$(cat out)" = "-m 3X" ]
tap $? "the program's options reach it" "$(cat out)"

# ---------------------------------------------------------------- programs that cannot be run
printf 'neither elf nor script' >noise; chmod 755 noise
printf '#!/nosuch/interpreter\n' >badscript; chmod 755 badscript
printf '#!/bin/sh\necho script $0 $1\nexit 3\n' >script; chmod 755 script
cp /bin/true noexec; chmod 644 noexec
head -c 100 /bin/true >short; chmod 755 short
one_line "program not found" 127 "cannot execute 'no-such-program': No such file" "$bin" run -q no-such-program
one_line "program not found by path" 127 "cannot execute './nosuch': No such file" "$bin" run -q ./nosuch
one_line "a directory" 126 "cannot execute '/tmp': Is a directory" "$bin" run -q /tmp
one_line "a file without permission" 126 "cannot execute './noexec': Permission denied" "$bin" run -q ./noexec
one_line "neither ELF nor script" 126 "noise" "$bin" run -q ./noise
one_line "truncated ELF" 126 "short" "$bin" run -q ./short
ends "interpreter of a script is missing" 126 "/nosuch/interpreter" "$bin" run -q ./badscript
ends "a script" 3 "" "$bin" run -q ./script word
[ "$(cat out)" = "script ./script word" ]
tap $? "a script knows its name and arguments" "$(cat out)"

# ---------------------------------------------------------------- statuses and streams
ends "exit status" 7 "" "$bin" run -q sh -c 'exit 7'
ends "status 125 of a program" 125 "" "$bin" run -q sh -c 'exit 125'
ends "killed by SIGSEGV" 139 "" "$bin" run -q sh -c 'kill -SEGV $$'
ends "killed by SIGKILL" 137 "" "$bin" run -q sh -c 'kill -KILL $$'
printf 'in put' | run -q cat >out 2>err
[ "$(cat out)" = "in put" ] && [ ! -s err ]
tap $? "stdin, stdout and stderr are untouched" "$(cat out err)"
run -q sh -c 'echo x >&2' 2>err >out
[ "$(cat err)" = x ] && [ ! -s out ]
tap $? "stderr holds what the program wrote"
(exec 0<&-; run -q sh -c 'exec 3<&0' 2>/dev/null)
[ $? != 0 ]
tap $? "a closed stdin stays closed"
here=$(env -i A=1 B='x y' "$bin" run -q /usr/bin/env | sort | tr '\n' ' ')
[ "$here" = "A=1 B=x y " ]
tap $? "environment is untouched" "$here"
run -q sh -c 'ulimit -s; umask; pwd' >out
sh -c 'ulimit -s; umask; pwd' >native
cmp -s out native
tap $? "limits, umask and directory are untouched" "$(cat out)"
(ulimit -s unlimited 2>/dev/null && run -q sh -c 'ulimit -s' || echo unlimited) >out
[ "$(cat out)" = unlimited ]
tap $? "an unlimited stack is seen as such" "$(cat out)"
run -q ls /proc/self/fd 2>/dev/null | sort >out
ls /proc/self/fd | sort >native
cmp -s out native
tap $? "the program sees no descriptors of ours" "$(tr '\n' ' ' <out)"

# ---------------------------------------------------------------- signals
wait_for_file() { for _ in $(seq 200); do [ -s "$1" ] && return; sleep 0.05; done; }
for s in TERM HUP USR1; do
	rm -f ready
	"$bin" run -q sh -c "trap 'echo got $s; exit 9' $s; echo x >ready; while :; do :; done" >out 2>&1 &
	p=$!
	wait_for_file ready
	kill -$s $p
	wait $p
	[ $? = 9 ] && grep -q "got $s" out
	tap $? "SIG$s is passed on" "$(cat out)"
done
"$bin" run -q sleep 60 &
p=$!
sleep 0.3
kill -TERM $p
wait $p
[ $? = 143 ]
tap $? "SIGTERM ends the program: 128 + 15"
"$bin" run -q sleep 60 &
p=$!
sleep 0.3
child=$(ps -o pid= --ppid $p | tr -d ' ')
kill -STOP "$child"
for _ in $(seq 100); do case $(ps -o state= -p $p) in T*) break ;; esac; sleep 0.02; done
[ "$(ps -o state= -p $p | cut -c1)" = T ]
tap $? "the command stops when the program stops"
kill -CONT $p
for _ in $(seq 100); do case $(ps -o state= -p "$child") in S*) break ;; esac; sleep 0.02; done
[ "$(ps -o state= -p "$child" | cut -c1)" = S ]
tap $? "and both go on after SIGCONT" "$(ps -o state= -p "$child")"
kill -KILL "$child"
wait $p
[ $? = 137 ]
tap $? "a program killed from outside: 128 + 9"

# ---------------------------------------------------------------- reports
run echo hello >out 2>err
[ "$(cat out)" = hello ] && grep -q "^softfault: echo hello" err && grep -q "^  major" err && grep -q "areas with most faults" err &&
	grep -q "code with most faults" err && grep -q "in faults .* wall" err
tap $? "the report goes to stderr by default" "$(cat err)"
[ "$(wc -l <err)" -le 32 ] && [ "$(awk '{ if (length($0) > m) m = length($0) } END { print m + 0 }' err)" -le 110 ]
tap $? "the report fits a screen" "$(wc err)"
run -o report echo hello >out 2>err
[ ! -s err ] && grep -q "^softfault: echo hello" report
tap $? "-o takes the report" "$(cat err)"
run -m 64M --stats=json -o j.json sh -c 'exit 4' >out 2>err
if command -v python3 >/dev/null; then
	python3 - <<'END' >pyout 2>&1
import json
j = json.load(open('j.json'))
assert j['schema_version'] == 1 and j['exit']['status'] == 4 and j['command'][0] == 'sh'
assert j['memory']['bound_bytes'] == 64 << 20 and 0 < j['memory']['peak_resident_bytes'] <= 64 << 20
f = j['faults']
kinds = ('minor', 'major', 'soft', 'copy_on_write', 'protection', 'illegal', 'spurious')
assert f['total'] == sum(f[k]['count'] for k in kinds) > 0
assert all(f[k]['p50_ns'] <= f[k]['p99_ns'] for k in kinds if f[k]['count'])
assert j['time']['wall_ns'] > 0 and j['time']['faults_ns'] > 0
assert 0 < len(j['top_areas']) <= 5 and 0 < len(j['top_code']) <= 5
assert any(c['symbol'] for c in j['top_code']), j['top_code']
assert j['engine'] in ('uffd', 'segv') and j['trap'] in ('sud', 'seccomp')
END
	tap $? "the JSON report says what it should" "$(cat pyout)"
fi
run -q --trace t.bin echo x >out 2>err
"$bin" trace t.bin >t.txt 2>err
lines=$(grep -vc '^#' t.txt)
[ "$lines" -gt 10 ] && ! grep -q never t.txt
tap $? "a trace can be read" "$(head -3 t.txt; cat err)"
head -c $((4096 + 64 * 5 + 30)) t.bin >cut.bin
[ "$("$bin" trace cut.bin | grep -vc '^#')" = 5 ]
tap $? "a trace survives truncation" "$("$bin" trace cut.bin 2>&1 | tail -3)"
one_line "a file that is no trace" 125 "is not a softfault trace" "$bin" trace /bin/true

# ---------------------------------------------------------------- swap files
echo precious >data
one_line "a file with data is not taken for swap" 125 "data: it holds data|'data': it holds data" "$bin" run -q -m 16M --swap data true
[ "$(cat data)" = precious ]
tap $? "and keeps its data"
one_line "swap path cannot be made" 125 "cannot open swap file '/nosuch/s': No such file" "$bin" run -q -m 16M --swap /nosuch/s true
one_line "a device is not taken for swap" 125 "neither a regular file nor a directory" "$bin" run -q -m 16M --swap /dev/null true
one_line "no directory for swap" 125 "cannot make a swap file in '/nosuch'" env TMPDIR=/nosuch "$bin" run -q -m 16M true
ends "a new swap file" 0 "" "$bin" run -q -m 16M --swap s1 true
[ ! -e s1 ]
tap $? "is gone afterwards"
: >s2
ends "an empty swap file" 0 "" "$bin" run -q -m 16M --swap s2 true
[ -e s2 ] && [ ! -s s2 ]
tap $? "is empty again afterwards"
"$bin" run -q -m 16M --swap s3 sleep 5 &
p=$!
wait_for_file s3
one_line "a swap file in use" 125 "another run uses it" "$bin" run -q -m 16M --swap s3 true
kill -TERM $p
wait $p
for tiers in zram zram:4M "zram,$work" none "$work"; do
	ends "--swap $tiers" 0 "" "$bin" run -q -m 16M --swap "$tiers" true
done
one_line "--swap none,zram" 125 "stands alone" "$bin" run -q --swap none,zram true
ends "no file of ours stays behind" 0 "" true
[ -z "$(ls | grep -i softfault)" ]
tap $? "the directory is clean" "$(ls)"

ends "doctor" 0 "" "$bin" doctor
grep -q "softfault run works here" out
tap $? "doctor has a verdict" "$(cat out)"
echo "1..$n"
exit $failed
