#!/bin/sh
# SPDX-License-Identifier: MIT
# elf_cases.sh BUILD_DIR - what kinds of programs are loaded, which are refused and in what words
#
# Good programs: output and exit status as in the native run, under each engine that works here.  Bad ones: status 126
# (127 when there is no such file), nothing on stdout, one line on stderr that names the cause.  Prints TAP.

build=$(cd "${1:?usage: elf_cases.sh BUILD_DIR}" && pwd) || exit 1
progs=$(cd "$(dirname "$0")/progs" && pwd)
sf=$build/softfault
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
cc=${CC:-cc}
n=0 failed=0

report() { # ok|"not ok" NAME [FILE...]: on failure the files are shown
	n=$((n + 1))
	echo "$1 $n - $2"
	[ "$1" = ok ] && return
	failed=$((failed + 1))
	shift 2
	for f; do sed "s|^|# $f: |" "$f"; done
}

must() { "$@" || { echo "Bail out! cannot build: $*"; exit 1; }; }

# ---------------------------------------------------------------- engines

engines=
for e in uffd segv; do
	if "$sf" run --engine $e -o /dev/null -- /bin/true 2>err; then
		engines="$engines $e"
	else
		echo "# engine $e: $(cat err)"
	fi
done
[ -n "$engines" ] || { echo "Bail out! no engine works"; exit 1; }

# NAME PROGRAM [ARG...]: the same natively and under each engine with $opts; both started through $pre
pre='env FOO=bar' opts=
same() {
	name=$1
	shift
	$pre "$@" >want.out 2>want.err </dev/null
	want=$?
	for e in $engines; do
		$pre "$sf" run --engine "$e" $opts -o /dev/null -- "$@" >got.out 2>got.err </dev/null
		got=$?
		echo "status $want, got $got" >status
		# of a program that a signal kills the shell may say so in want.err
		if [ $got = $want ] && cmp -s want.out got.out && { [ $want -gt 128 ] || cmp -s want.err got.err; } &&
			! grep -q '^not ok' got.out; then
			report ok "$name ($e)"
		else
			diff want.out got.out >diff
			report "not ok" "$name ($e)" status diff got.err
		fi
	done
}

# NAME WORDS PROGRAM [ARG...]: refused with 126 and a line that has the words (a basic regular expression)
refused() { refused_with 126 "$@"; }
refused_with() {
	want=$1 name=$2 words=$3
	shift 3
	"$sf" run -- "$@" >got.out 2>got.err </dev/null
	got=$?
	echo "status $want, got $got" >status
	if [ $got = "$want" ] && [ ! -s got.out ] && [ "$(wc -l <got.err)" = 1 ] && grep -qi "$words" got.err; then
		report ok "$name"
	else
		report "not ok" "$name" status got.out got.err
	fi
}

# ---------------------------------------------------------------- good programs

build_prog() { # OUTPUT SOURCE [FLAG...]
	out=$1 src=$2
	shift 2
	must "$cc" -O1 -g -w -pthread "$progs/$src.c" "$@" -o "$out"
}
build_prog static elf_layout -static -no-pie
build_prog static_pie elf_layout -static-pie -fPIE
build_prog pie elf_layout -pie -fPIE
build_prog non_pie elf_layout -no-pie
build_prog relro elf_layout -pie -fPIE -Wl,-z,now,-z,relro,-z,noseparate-code
build_prog aligned elf_layout -pie -fPIE -DHUGE_ALIGN=0x200000 -Wl,-z,max-page-size=0x200000
build_prog aligned_static_pie elf_layout -static-pie -fPIE -DHUGE_ALIGN=0x200000 -Wl,-z,max-page-size=0x200000
build_prog proc_self proc_self -pie -fPIE
build_prog proc_self_static proc_self -static -no-pie
build_prog exec_stack exec_stack -z execstack
build_prog noexec_stack exec_stack -z noexecstack
must "$cc" -O1 -w "$progs/mkelf.c" -o mkelf

for p in static static_pie pie non_pie relro aligned aligned_static_pie; do
	same "load: $p" ./$p one two
done
same "load: no argument" ./pie
same "load: empty argument" ./pie "" ""
same "load: long argument list" ./non_pie $(seq 20000)
same "load: one argument of 128000 bytes" ./pie "$(printf %0128000d 7)"
pre='env -i' && same "load: empty environment" ./pie x
pre='setarch -R' && same "load: ADDR_NO_RANDOMIZE" ./pie x
pre='env FOO=bar'
same "load: dynamic linker as the program" /lib64/ld-linux-x86-64.so.2 /bin/echo x
same "load: path through the current directory" "$work/../$(basename "$work")/pie"
same "stack that may be executed" ./exec_stack
same "stack that may not" ./noexec_stack
same "/proc/self, PIE" ./proc_self x
same "/proc/self, static" ./proc_self_static x
opts='-m 2M'
same "load: PIE in 2 MiB" ./pie one two
same "load: static in 2 MiB" ./static one two
same "/proc/self in 2 MiB" ./proc_self x
opts=

for kind in right cut-tail shared-page read-only-bss only-bss odd-p_align; do
	must ./mkelf $kind elf-$kind
	chmod +x elf-$kind
	same "small ELF: $kind" ./elf-$kind
done

# Without randomisation the places are the same in every run.
place() { setarch -R "$sf" run -- ./proc_places; }
cat >proc_places.c <<'END'
#include <stdio.h>
#include <stdlib.h>
int main(void) { int x; printf("%p %p %p %p\n", (void *)main, (void *)&x, (void *)printf, malloc(1)); return 0; }
END
must "$cc" -w -pie -fPIE proc_places.c -o proc_places
a=$(place 2>/dev/null) b=$(place 2>/dev/null)
if [ -n "$a" ] && [ "$a" = "$b" ]; then report ok "same places without randomisation"; else report "not ok" "same places without randomisation"; fi
a=$("$sf" run -- ./proc_places 2>/dev/null) b=$("$sf" run -- ./proc_places 2>/dev/null)
if [ -n "$a" ] && [ "$a" != "$b" ]; then report ok "other places with randomisation"; else report "not ok" "other places with randomisation"; fi

# ---------------------------------------------------------------- scripts

script() { # FILE LINE
	printf '%s\n' "$2" >"$1"
	chmod +x "$1"
}
script s-plain '#!/bin/echo'
script s-arg '#!/bin/echo -n  two words  '
script s-blank "#! 	/bin/echo	tab"
script s-sh '#!/bin/sh
echo "$0" "$@"; cat /proc/self/comm; exit 7'
script s-nested "#!$work/s-plain"
last=/bin/echo
for i in 1 2 3 4 5 6; do
	script s-deep$i "#!$last"
	last=$work/s-deep$i
done
printf '#!/bin/echo no newline' >s-eof && chmod +x s-eof
printf '#!/bin/echo %0300d\n' 1 >s-long-arg && chmod +x s-long-arg
for s in plain arg blank nested deep5 eof long-arg; do
	same "script: $s" ./s-$s a b
done
script s-comm '#!/bin/cat'
same "script: interpreter reads it" ./s-comm

script s-missing '#!/no/such/interpreter -x'
script s-none '#!  '
script s-relative '#!not-here'
printf '#!/bin/%0300d\n' 1 >s-long-path && chmod +x s-long-path
refused "script: too deep" "more than 5 deep" ./s-deep6
refused "script: interpreter missing" "interpreter /no/such/interpreter: no such file" ./s-missing
refused "script: no interpreter named" "names no interpreter" ./s-none
refused "script: relative interpreter missing" "interpreter not-here: no such file" ./s-relative
refused "script: line too long" "too long" ./s-long-path
printf 'echo hello\n' >text && chmod +x text
: >empty && chmod +x empty
printf '\000\001\002garbage' >garbage && chmod +x garbage
refused "text without #!" "without a #! line" ./text
refused "empty file" "empty" ./empty
refused "not an ELF file" "not an ELF file" ./garbage

# ---------------------------------------------------------------- refused by permission and kind

mkdir dir
cp pie plain-file && chmod -x plain-file
mkfifo fifo && chmod +x fifo
refused "directory" "is a directory" ./dir
refused "not executable" "permission denied" ./plain-file
refused "fifo" "not a regular file\|permission denied" ./fifo
refused_with 127 "no such file" "no.such.file\|not found" ./not-there
path=$PATH PATH=/usr/bin:/bin
refused_with 127 "not in PATH" "no.such.file\|not found" not-there-either
PATH=$path

# ---------------------------------------------------------------- refused by headers

bad() { # KIND WORDS [INTERPRETER]
	must ./mkelf "$1" "bad-$1" $3
	chmod +x "bad-$1"
	refused "bad ELF: $1" "$2" "./bad-$1"
}
bad arch-arm "wrong architecture.*AArch64"
bad i386 "wrong architecture.*32-bit.*80386"
bad x32 "wrong architecture.*x32"
bad big-endian "wrong architecture.*big-endian.*PowerPC64"
bad object "not been linked"
bad phentsize "bad ELF header"
bad phnum-none "bad ELF header"
bad phnum-many "bad ELF header"
bad phoff-far "truncated ELF.*program headers"
bad cut-header "truncated ELF.*first header"
bad cut-phdrs "truncated ELF.*program headers"
bad cut-segment "truncated ELF.*segment"
bad overlap "overlapping segments"
bad bad-align "bad alignment"
bad no-load "nothing to load"
bad file-larger "larger in the file"
bad too-high "beyond the address space"
bad too-low "below the lowest address"
bad interp-no-nul "interpreter path"
bad interp "dynamic linker /no/such/ld.so: no such file" /no/such/ld.so
bad interp "dynamic linker $work/text: not an ELF file" "$work/text"
head -c 2000 /lib64/ld-linux-x86-64.so.2 >cut-ld && chmod +x cut-ld
bad interp "dynamic linker $work/cut-ld: truncated ELF" "$work/cut-ld"
bad interp "dynamic linker $work/plain-file: permission denied" "$work/plain-file"
bad interp "dynamic linker $work/dir: is a directory" "$work/dir"

# A real program, cut at many places: never a crash of ours, never a wrong message.
size=$(wc -c <pie)
for cut in 63 64 500 1000 4096 8192 12288; do
	[ "$cut" -lt "$size" ] || continue
	head -c $cut pie >cut && chmod +x cut
	refused "program cut at $cut bytes" "truncated ELF" ./cut
done

echo "1..$n"
[ $failed = 0 ]
