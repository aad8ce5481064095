#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""matrix.py - many real programs, natively and under softfault: makes the table in docs/programs.md

    tests/matrix.py BUILD_DIR [--engine uffd] [--only NAME[/NAME]] >LOG
    tests/matrix.py --table UFFD_LOG SEGV_LOG >docs/programs.md

A row: the program, whether output and exit status equal the native run's with no limit and at half of the tree's peak, and its processor time (all processes,
user and system) in multiples of the native run's, which has been run once before to warm up.  Programs that are not installed are left out."""
import argparse
import ctypes
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

GO = 'package main\nimport ("fmt"; "sync")\nfunc main() { var wg sync.WaitGroup; c := make(chan int, 64); s := 0; ' \
     'for i := 0; i < 64; i++ { wg.Add(1); go func(i int) { defer wg.Done(); b := make([]int, 20000); t := 0; ' \
     'for j := range b { b[j] = j * i }; for _, x := range b { t += x % 7 }; c <- t }(i) }; wg.Wait(); close(c); ' \
     'for x := range c { s += x }; fmt.Println(s) }\n'
JAVA = 'import java.util.*; public class T { public static void main(String[] a) { Map<Integer,String> m = new TreeMap<>(); ' \
       'for (int i = 0; i < 200000; i++) m.put((i * 7919) % 1000003, "v" + i); long s = 0; for (var e : m.entrySet()) ' \
       's = s * 31 + e.getKey() + e.getValue().length(); System.out.println(s); } }\n'
NODE = 'const {Worker,isMainThread,parentPort,workerData}=require("worker_threads");if(isMainThread){let n=0,s=0;for(let i=0;i<3;i++){' \
       'const w=new Worker(__filename,{workerData:i});w.on("message",m=>{s+=m});w.on("exit",()=>{if(++n==3)console.log(s)})}}' \
       'else{const m=new Map();for(let i=0;i<50000;i++)m.set("k"+i,i*workerData);let t=0;for(const v of m.values())t+=v%13;parentPort.postMessage(t)}\n'
MP = 'import multiprocessing as m\ndef f(x):\n    return sum(i*x for i in range(20000))\nif __name__ == "__main__":\n' \
     '    with m.Pool(3) as p: print(sum(p.map(f, range(40))))\n'
SUBP = 'import subprocess as s\nprint(sum(int(s.run(["expr", str(i), "+", "1"], capture_output=True).stdout) for i in range(20)))\n'
MAKE = 'all: prog\nOBJS := $(patsubst %.c,%.o,$(wildcard *.c))\nprog: $(OBJS)\n\t@gcc -o $@ $(OBJS)\n%.o: %.c\n\t@gcc -O1 -c $< -o $@\n'


# Each with an amount of work, not a time, so that the two runs can be compared.
STRESS = [(f'stress-ng --{n.split()[0]}', f'stress-ng --{n.split()[0]} 1 --{n.split()[0]}-ops {n.split()[1]} {" ".join(n.split()[2:])} --verify --quiet; echo $?') for n in (
    'vm 300 --vm-bytes 16M', 'fork 100', 'vfork 100', 'mmapfork 1', 'shm 5 --shm-bytes 4M', 'shm-sysv 5 --shm-sysv-bytes 4M',
    'bigheap 100 --bigheap-growth 1M', 'brk 2000', 'mremap 50 --mremap-bytes 8M', 'stack 3', 'resources 1', 'mmap 20 --mmap-bytes 8M', 'madvise 3', 'mincore 2000',
    'msync 200 --msync-bytes 4M', 'mprotect 2000', 'sigsegv 500', 'vm-rw 20 --vm-rw-bytes 4M', 'vm-addr 5', 'vm-splice 500', 'mlock 200', 'mmapaddr 500',
    'mmapfixed 200', 'mmapmany 1', 'memfd 20', 'malloc 3000', 'munmap 20', 'remap 20', 'rmap 300', 'stackmmap 3', 'tlb-shootdown 20', 'bad-altstack 50', 'fault 300',
    'membarrier 200', 'mq 3000', 'msg 3000', 'sem 3000', 'sem-sysv 3000', 'pthread 50', 'clone 50', 'daemon 20', 'exec 20', 'spawn 20', 'zombie 20', 'kill 3000',
    'sigfpe 500', 'sigq 3000', 'switch 3000', 'context 300', 'pipe 3000', 'futex 3000', 'zero 300', 'dup 20', 'procfs 2')]

# What cannot run, and why: differs from the native run, with one line that says so.
REFUSED = [('strace', 'strace -o /dev/null true'), ('stress-ng --vm-segv', 'timeout 5 stress-ng --vm-segv 1 --vm-segv-ops 10 --quiet; echo $?'),
           ('stress-ng --userfaultfd', 'stress-ng --userfaultfd 1 --userfaultfd-ops 10 --quiet; echo $?')]
WHY = {'strace': 'ptrace is EPERM', 'stress-ng --vm-segv': 'ptrace is EPERM', 'stress-ng --userfaultfd': 'userfaultfd is ENOSYS'}


def write(work, name, text, mode=0o644):
    path = os.path.join(work, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as f:
        f.write(text)
    os.chmod(path, mode)


def make_inputs(work):
    lines, x = [], 12345
    for i in range(60000):
        x = (x * 1103515245 + 12345) & 0x7fffffff
        lines.append(f'{x} line {i} {x % 997} the quick brown fox {x ^ i}\n')
    write(work, 'text', ''.join(lines))
    for n, t in (('t.go', GO), ('T.java', JAVA), ('t.js', NODE), ('mp.py', MP), ('subp.py', SUBP), ('proj/Makefile', MAKE)):
        write(work, n, t)
    for i in range(40):
        write(work, f'proj/f{i}.c', f'int f{i}(int a) {{ int s = 0; for (int k = 0; k < a; k++) s += k * {i}; return s; }}\n')
    write(work, 'proj/main.c', '#include <stdio.h>\n' + ''.join(f'int f{i}(int);' for i in range(40)) +
          'int main(void) { long t = 0; ' + ''.join(f't += f{i}({i});' for i in range(40)) + ' printf("%ld\\n", t); return 0; }\n')
    for i in range(300):
        write(work, f'tree/d{i % 20}/f{i}.txt', f'file {i}\n' * (1 + i % 50))
    write(work, 'j.json', json.dumps({f'k{i}': [i, str(i) * 3] for i in range(8000)}))
    write(work, 'db.sql', "CREATE TABLE t(a INTEGER PRIMARY KEY,b,c);WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<60000) "
          "INSERT INTO t SELECT i,(i*7919)%10007,'row'||i FROM n;CREATE INDEX x ON t(b);SELECT b%7,count(*),sum(length(c)) FROM t GROUP BY 1;\n")


def sh(script):
    return ['bash', '-c', script]


def rows():
    r = [(n, n.split('|')[0].split()[0].strip(','), sh(c)) for n, c in [
        ('sort', 'sort text'), ('sort --parallel=2', 'sort --parallel=2 -S 4M -k2 text'), ('uniq', 'cut -c1-3 text | sort | uniq -c'),
        ('wc', 'wc text'), ('sha256sum', 'sha256sum text'), ('md5sum', 'md5sum text'), ('tac', 'tac text | tail -3'),
        ('shuf', 'shuf --random-source=text text | md5sum'), ('factor', 'seq 1000000 1000400 | factor | md5sum'),
        ('od', 'od -x text | md5sum'), ('find', 'find tree -name "*7.txt" | sort'), ('find -exec', 'find tree -name "*1.txt" -exec wc -c {} + | sort'),
        ('xargs -P', 'find tree -name "*.txt" | sort | xargs -P2 -n 40 cat | wc'), ('ls -R', 'ls -R tree | md5sum'), ('du', 'du -b tree | tail -1'),
        ('grep', 'grep -c "99[0-9] the" text'), ('sed', "sed 's/quick/slow/; s/[0-9]*$//' text | md5sum"),
        ('awk', "awk '{n[$1%100]+=$4} END {for(i=0;i<100;i++) t+=n[i]*i; print t}' text"), ('gawk', "gawk '{print length($0)}' text | sort -n | tail -1"),
        ('perl', "perl -ne '$h{$_ % 977}++; END { print join \",\", map { $h{$_} } sort { $a <=> $b } keys %h }' text | md5sum"),
        ('perl fork', "perl -e 'for (1..5) { if (!fork) { exit $_ } } $s += $? >> 8 while wait > 0; print \"$s\\n\"'"),
        ('tar | gzip', 'tar --sort=name --mtime=@0 -cf - tree | gzip -n | md5sum'), ('gzip', 'gzip -nc text | gunzip | md5sum'), ('bzip2', 'bzip2 -c text | md5sum'),
        ('xz -T2', 'xz -T2 -1 -c text | xz -dc | md5sum'), ('zstd -T2', 'zstd -T2 -q -c text | zstd -dc | md5sum'), ('lz4', 'lz4 -c text 2>/dev/null | md5sum'),
        ('brotli', 'brotli -4 -c text | md5sum'), ('7z', '7z a -so -tgzip -mx1 dummy text 2>/dev/null | wc -c'), ('zip', 'zip -X -q - text | wc -c'),
        ('cpio', 'find tree | sort | cpio -o --quiet | wc -c'), ('openssl', 'openssl dgst -sha512 text'), ('openssl enc', 'openssl enc -aes-256-cbc -K 00 -iv 00 -in text 2>/dev/null | md5sum'),
        ('bc', 'echo "scale=800; 4*a(1)" | bc -l | md5sum'), ('jq', 'jq -c "[.[] | .[0]] | add" j.json'), ('m4', 'echo "define(x,eval(3*7))x" | m4'),
        ('diff', 'sort text > s1; diff text s1 | md5sum'), ('patch', 'cp text p1; sed s/fox/dog/ text > p2; diff -u p1 p2 > p.diff; patch -s p1 p.diff; cmp p1 p2 && echo same'),
        ('gcc', 'gcc -O2 proj/main.c proj/f*.c -o a.out && ./a.out'), ('g++', 'echo "#include <map>\n#include <iostream>\nint main(){std::map<int,int> m;for(int i=0;i<9;i++)m[i]=i*i;std::cout<<m[7]<<std::endl;}" > t.cc; g++ t.cc -o a.cc && ./a.cc'),
        ('make -j2, 100 files', 'bash $T/make.sh'), ('ld', 'cd proj && gcc -c f1.c -o z.o && ld -r z.o -o y.o && nm y.o'),
        ('objdump', 'objdump -d /bin/true | wc -l'), ('readelf', 'readelf -a /bin/true | wc -l'), ('strip', 'cp /bin/true tt && strip tt && ./tt && echo ok'),
        ('git, 2,000 files', 'bash $T/git.sh'),
        ('python3', "/usr/bin/python3 -S -c 'd={str(i):i*i for i in range(80000)}; print(sum(d.values()))'"),
        ('python3 subprocess', '/usr/bin/python3 subp.py'), ('python3 multiprocessing', '/usr/bin/python3 mp.py'),
        ('sqlite3', 'sqlite3 :memory: < db.sql'), ('sqlite3, 4 processes, WAL', 'bash $T/sqlite.sh'),
        ('bash', 'bash $T/shell.sh'), ('dash', 'dash $T/shell.sh'), ('zsh', 'zsh -f $T/shell.sh'), ('busybox ash', 'busybox ash $T/shell.sh'),
        ('bash, interactive jobs', '/usr/bin/python3 $T/jobs.py bash --norc -i'), ('dash, interactive jobs', '/usr/bin/python3 $T/jobs.py dash -i'), ('busybox sort', 'busybox sort text | md5sum'),
        ('ruby', 'ruby -e "h={}; 50000.times{|i| h[i.to_s]=i}; puts h.values.sum"'), ('lua', 'lua5.4 -e "local t={} for i=1,100000 do t[i]=tostring(i) end print(#table.concat(t))"'),
        ('tclsh', 'echo "set s 0; for {set i 0} {\\$i < 50000} {incr i} {incr s \\$i}; puts \\$s" | tclsh'), ('php', "php -r '$a=range(1,100000); echo array_sum(array_map(fn($x)=>$x%7,$a)), PHP_EOL;'"),
        ('node worker threads', 'node t.js'), ('go build', 'rm -rf gc; GOFLAGS=-p=2 GOCACHE=$PWD/gc GO111MODULE=off go build -o gobin t.go && ./gobin'), ('go program', './gobin'),
        ('javac', 'javac -J-Xmx128m T.java && echo ok'), ('java', 'java -Xmx64m T'),
        ('rsync', 'rm -rf tree2; rsync -a tree/ tree2/ && diff -r tree tree2 && echo same'), ('flock', 'flock lk echo locked'), ('timeout', 'timeout 1 sleep 5; echo $?'),
        ('env', 'env -i A=1 env'), ('nice', 'nice -n 3 nice'), ('vim', "vim.tiny -e -s -u NONE -c '%s/fox/cat/' -c 'wq! v.out' text; md5sum < v.out"), ('ed', "printf '1,5p\\nq\\n' | ed -s text"),
        ('groff', 'echo ".TH X 1\n.SH NAME\nx" | groff -man -Tascii | md5sum'),
        ('redis, snapshot and log rewrite', 'bash $T/redis.sh'), ('nginx, 2 workers, wrk', 'bash $T/nginx.sh'), ('postgres, pgbench', 'bash $T/postgres.sh'),
        ('memcached', 'P=$((20000 + $$ % 10000)); memcached -u nobody -p $P -l 127.0.0.1 & p=$!; sleep 1; printf "set a 0 0 3\\r\\nabc\\r\\nget a\\r\\nquit\\r\\n" | timeout 5 bash -c "exec 3<>/dev/tcp/127.0.0.1/$P; cat >&3; cat <&3"; kill $p; wait'),
    ] + STRESS + REFUSED]
    alias = {'redis': 'redis-server', 'lua': 'lua5.4', 'vim': 'vim.tiny', 'tar': 'tar'}
    return [(n, c) for n, prog, c in r if shutil.which(alias.get(prog, prog))]


def be_the_reaper():
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def descendants():
    parent = {}
    for d in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{d}/stat') as f:
                parent[int(d)] = int(f.read().rpartition(')')[2].split()[1])
        except OSError:
            pass
    found, more = set(), {os.getpid()}
    while more:
        more = {c for c, p in parent.items() if p in more} - found
        found |= more
    return found


def name_of(pid):
    try:
        with open(f'/proc/{pid}/stat') as f:
            text = f.read()
        return None if text.rpartition(')')[2].split()[0] in 'ZX' else text.rpartition(')')[0]
    except OSError:
        return None


def end_descendants():
    """Whatever is left of a run: orphans come to us, since we are their reaper.  Names of those who still ran after a moment."""
    left, seen = set(), set()
    for i in range(200):
        left = descendants()
        if not left:
            break
        for pid in left:
            try:
                if i > 50:
                    seen.add(name_of(pid))
                    os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)
            except OSError:
                pass
        time.sleep(0.01)
    return sorted(seen - {None})


def processor_time():
    u = resource.getrusage(resource.RUSAGE_CHILDREN)
    return u.ru_utime + u.ru_stime


class Matrix:
    def __init__(self, build, engine, work):
        self.left = []
        self.softfault, self.engine, self.work = os.path.join(os.path.abspath(build), 'softfault'), engine, work
        self.env = {'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', 'LC_ALL': 'C', 'HOME': work, 'TMPDIR': work, 'PYTHONHASHSEED': '0',
                    'T': os.path.join(os.path.dirname(os.path.abspath(__file__)), 'trees')}

    def run(self, argv, timeout=150):
        """((status, output), processor time, errors); what the run left behind is added to self.left and ended"""
        t0 = processor_time()
        p = subprocess.Popen(argv, cwd=self.work, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        status = None
        try:
            out, err = p.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            status = 'timeout'
            end_descendants()
            out, err = p.communicate()
        self.left += end_descendants()
        err = err.decode(errors='replace') + (status or '')
        return (status or p.returncode, out), processor_time() - t0, err

    def under(self, argv, bound):
        out = os.path.join(self.work, 'stats.json')
        opt = ['-m', str(bound)] if bound else []
        got = self.run([self.softfault, 'run', '--engine', self.engine, '--stats=json', '-o', out, *opt, '--', *argv])
        try:
            with open(out) as f:
                peak = json.load(f)['memory']['peak_resident_bytes']
        except (OSError, ValueError, KeyError):
            peak = 0
        return (*got, peak)

    def row(self, argv):
        self.run(argv)
        native, t_native, _ = self.run(argv)
        self.left = []
        t_native = max(t_native, 0.001)
        full, t_full, err, peak = self.under(argv, 0)
        r = {'equal': full == native, 'slow': t_full / t_native, 'err': err if full != native else '', 'peak': peak}
        half, t_half, err2, _ = self.under(argv, max(peak // 2 & ~4095, 2 << 20))
        r.update(equal_half=half == native, slow_half=t_half / t_native, err_half=err2 if half != native else '', left=self.left)
        return r


INTRO = """# Programs that were run

Made by `tests/matrix.py build --engine uffd >uffd.log`, the same with `segv`, and `tests/matrix.py --table uffd.log segv.log`, as an unprivileged user on Debian 12.
"equal": output and exit status are the native run's, byte for byte, with no limit and with half of the tree's own peak. The figures are processor time of all processes,
user and system, in multiples of the native run's: at no limit, and at half. A single run each on a busy machine: an order of magnitude, no more; what takes a few
milliseconds natively shows the cost of starting, about 4 ms a program. `$T` is tests/trees.

| program | command | result | uffd: full, half | segv: full, half | peak, MiB |
|---|---|---|---|---|---|
"""


def read_log(path):
    cell = '(?:[^|\\\\]|\\\\.)*'
    with open(path) as f:
        found = [re.findall('[|] (' + cell + ') ?(?=[|])', line) for line in f if line.startswith('| ')]
    return {c[0].strip(): [x.strip() for x in c[1:]] for c in found if len(c) == 6}


def verdict(cells):
    words = {c[i] for c in cells for i in (0, 3)}
    return 'equal' if words == {'equal'} else ', '.join(sorted(words - {'equal'}))


def print_table(paths):
    logs, sep = [read_log(p) for p in paths], '\\|'
    print(INTRO, end='')
    for name, argv in rows():
        name, command = name.replace('|', sep), argv[-1].replace('\n', '; ').replace('|', sep)
        cells = [log[name] for log in logs if name in log]
        if len(cells) != len(logs):
            continue
        times = [f'{c[1]}, {c[4]}' if c[0] == c[3] == 'equal' else '' for c in cells]
        command = command if len(command) < 110 else command[:100].rstrip('\\') + ' …'
        print(f"| {name} | `{command}` | {verdict(cells)} | {' | '.join(times)} | {cells[0][2].split()[0]} |")


def main():
    if sys.argv[1:2] == ['--table']:
        return print_table(sys.argv[2:])
    ap = argparse.ArgumentParser()
    ap.add_argument('build')
    ap.add_argument('--engine', default='uffd')
    ap.add_argument('--only', default='')
    a = ap.parse_args()
    be_the_reaper()
    work = tempfile.mkdtemp(prefix='sf-matrix.')
    make_inputs(work)
    m, table, bad = Matrix(a.build, a.engine, work), [], 0
    only = [x for x in a.only.split('/') if x]
    try:
        for name, argv in rows():
            if only and name not in only:
                continue
            r = m.row(argv)
            refused = WHY.get(name) if not (r['equal'] and r['equal_half']) else None
            bad += not (refused or (r['equal'] and r['equal_half']))
            word = {True: 'equal', False: 'refused: ' + refused if refused else 'DIFFERS'}
            table.append(f"| {name.replace('|', chr(92) + '|')} | {word[r['equal']]} | {r['slow']:.1f} | {r['peak'] / 1048576:.1f} MiB | {word[r['equal_half']]} | {r['slow_half']:.1f} |")
            print(table[-1], flush=True)
            for e in (r['err'], r['err_half']):
                if e:
                    print('#   ' + '\n#   '.join(e.strip().splitlines()[-4:]), flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f'# {len(table)} programs, {bad} differ')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
