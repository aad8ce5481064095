#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""programs.py - real programs under softfault run: same output, same exit status, inside the bound

    tests/programs.py BUILD_DIR [--engine uffd|segv|both] [--only NAME[,NAME]] [--user NAME] [--keep]

For each program: the native run gives the expected output and exit status; then it runs under every engine without a
limit (which tells its peak), at a half and at a quarter of that peak.  While it runs, Pss is read from outside and
must stay within the bound plus OVERHEAD.  Prints TAP."""
import argparse
import hashlib
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

OVERHEAD = 12 << 20     # a ceiling (README): our own memory, and pages that Pss counts twice because they move while it is read
MIN_BOUND = 2 << 20
TIMEOUT = 300


class Case:
    def __init__(self, name, argv, stdin=None, outputs=(), env=None, fractions=(2, 4), filter=None):
        self.name, self.argv, self.stdin = name, argv, stdin
        self.outputs, self.env, self.fractions = outputs, env, fractions
        self.filter = filter


def pss_of(pid):
    try:
        with open(f'/proc/{pid}/smaps_rollup') as f:
            return int(re.search(r'^Pss:\s+(\d+)', f.read(), re.M).group(1)) << 10
    except (OSError, AttributeError):
        return 0


def children(pid):
    try:
        with open(f'/proc/{pid}/task/{pid}/children') as f:
            return [int(x) for x in f.read().split()]
    except OSError:
        return []


class Watch(threading.Thread):
    """Reads the sum of Pss of the program (softfault's child) from outside."""
    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.stop = pid, 0, threading.Event()

    def run(self):
        while not self.stop.wait(0.05):
            self.peak = max(self.peak, sum(pss_of(c) for c in children(self.pid)))


class Runner:
    def __init__(self, build, work, user):
        self.build, self.work, self.user = build, work, user
        self.softfault = os.path.join(build, 'softfault')

    def demote(self):
        if self.user:
            pw = pwd.getpwnam(self.user)
            os.setgroups([])
            os.setgid(pw.pw_gid)
            os.setuid(pw.pw_uid)

    def start(self, case, prefix):
        for o in case.outputs:
            path = os.path.join(self.work, o)
            if os.path.exists(path):
                os.unlink(path)
        env = {'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', 'LC_ALL': 'C', 'HOME': self.work,
               'TMPDIR': self.work, 'PYTHONDONTWRITEBYTECODE': '1', 'PYTHONHASHSEED': '0'}
        env.update(case.env or {})
        stdin = open(os.path.join(self.work, case.stdin), 'rb') if case.stdin else subprocess.DEVNULL
        return subprocess.Popen(prefix + case.argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                cwd=self.work, env=env, preexec_fn=self.demote)

    def digest(self, case, out):
        if case.filter:
            out = case.filter(out)
        h = hashlib.sha256(out)
        for o in case.outputs:
            try:
                with open(os.path.join(self.work, o), 'rb') as f:
                    h.update(hashlib.sha256(f.read()).digest())
            except OSError as e:
                h.update(str(e.errno).encode())
        return h.hexdigest()

    def run(self, case, prefix=()):
        p = self.start(case, list(prefix))
        watch = Watch(p.pid)
        watch.start()
        try:
            out, err = p.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            for c in children(p.pid):
                os.kill(c, signal.SIGKILL)
            p.kill()
            out, err = p.communicate()
            err += b'\nTIMEOUT'
        watch.stop.set()
        watch.join()
        return p.returncode, self.digest(case, out), watch.peak, err.decode(errors='replace')

    def under(self, case, engine, bound):
        stats = os.path.join(self.work, 'stats.json')
        if os.path.exists(stats):
            os.unlink(stats)
        prefix = [self.softfault, 'run', '--engine', engine, '--stats=json', '-o', stats]
        if bound:
            prefix += ['-m', str(bound)]
        status, digest, pss, err = self.run(case, prefix + ['--'])
        try:
            with open(stats) as f:
                info = json.load(f)
        except (OSError, ValueError):
            info = {}
        return status, digest, pss, err, info


def peak_bytes(info):
    return int(info.get('memory', {}).get('peak_resident_bytes', 0))


class Tap:
    def __init__(self):
        self.n = self.failed = self.skipped = 0

    def say(self, ok, name, detail=''):
        self.n += 1
        self.failed += not ok
        print(f"{'ok' if ok else 'not ok'} {self.n} - {name}", flush=True)
        for line in detail.strip().splitlines()[-12:] if not ok else []:
            print(f'# {line}', flush=True)


def check(tap, name, native, got, bound, pss):
    status, digest = got[0], got[1]
    problems = []
    if status != native[0]:
        problems.append(f'exit status {status}, native {native[0]}')
    if digest != native[1]:
        problems.append('output differs from the native run')
    if bound and pss > bound + OVERHEAD:
        problems.append(f'Pss {pss >> 10} KiB exceeds the bound {bound >> 10} KiB + {OVERHEAD >> 10} KiB')
    tap.say(not problems, name, '\n'.join(problems) + '\n' + got[3])


def run_case(tap, runner, case, engines):
    native = runner.run(case)
    for engine in engines:
        t0 = time.time()
        got = runner.under(case, engine, 0)
        check(tap, f'{case.name} {engine} unlimited', native, got, 0, 0)
        peak = peak_bytes(got[4])
        if not peak:
            continue
        for frac in case.fractions:
            bound = max(peak // frac & ~4095, MIN_BOUND)
            got = runner.under(case, engine, bound)
            check(tap, f'{case.name} {engine} 1/{frac} of {peak >> 10} KiB', native, got, bound, got[2])
        print(f'# {case.name} {engine}: {time.time() - t0:.1f} s', flush=True)


# ---------------------------------------------------------------- inputs and programs

SQL = """
CREATE TABLE t(a INTEGER PRIMARY KEY, b INTEGER, c TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200000)
INSERT INTO t SELECT i, (i*7919)%100003, 'row '||i||' '||((i*31)%977) FROM n;
COMMIT;
CREATE INDEX tb ON t(b);
SELECT count(*), sum(b), min(c), max(c) FROM t;
SELECT b%17, count(*), sum(length(c)) FROM t GROUP BY 1 ORDER BY 1;
SELECT a, b, c FROM t ORDER BY b DESC, a LIMIT 20;
"""

PY = """
import threading, random
random.seed(7)
d = {i: ('x%d' % i) * 3 for i in range(120000)}
l = sorted(d.values())
print(len(l), l[0], l[-1])
res = [0]*4
def work(k):
    s = 0
    buf = [bytes([ (i*k) & 255 ])*200 for i in range(20000)]
    for b in buf: s += b[0]
    res[k] = s
ts = [threading.Thread(target=work, args=(k,)) for k in range(4)]
[t.start() for t in ts]; [t.join() for t in ts]
print(res)
m = [[random.random() for _ in range(300)] for _ in range(300)]
print(round(sum(sum(r) for r in m), 6))
big = bytearray(12 << 20)
for i in range(0, len(big), 4096): big[i] = i >> 12 & 255
print(sum(big[::4096]))
"""

PERL = r"""
my %h; for my $i (1..150000) { $h{"k$i"} = $i * 3 % 1009; }
my $s = 0; for my $k (sort keys %h) { $s = ($s * 31 + $h{$k}) % 1000003; } print "$s\n";
my @a = map { sprintf "%08d", ($_ * 7919) % 1000003 } 1..150000; print join(",", (sort @a)[0..9]), "\n";
"""

AWK = r'{ n[$1 % 5000]++; s[$1 % 5000] += length($0); line[NR] = $0 } END { for (i = 0; i < 5000; i++) t += n[i] * s[i]; print t, NR, line[NR] }'


def make_inputs(work):
    with open(os.path.join(work, 'text'), 'w') as f:
        x = 12345
        for i in range(220000):
            x = (x * 1103515245 + 12345) & 0x7fffffff
            f.write(f'{x} line {i} {x % 997} the quick brown fox {x ^ i}\n')
    for name, text in (('in.sql', SQL), ('work.py', PY), ('work.pl', PERL)):
        with open(os.path.join(work, name), 'w') as f:
            f.write(text)
    src = os.path.join(work, 'big.c')
    with open(src, 'w') as f:
        f.write('#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <math.h>\n#include <pthread.h>\n')
        for i in range(1500):
            f.write(f'static int f{i}(int a, int b) {{ int s = {i}; for (int k = 0; k < b; k++) '
                    f'{{ s += (a * k) ^ {i * 7}; if (s % 11 == {i % 11}) s -= k; }} return s; }}\n')
        f.write('int main(int c, char **v) { long t = c; ' + ' '.join(f't += f{i}(c, {i % 13});' for i in range(1500)) +
                ' printf("%ld\\n", t); return 0; }\n')
    if shutil.which('gcc'):
        subprocess.run(['gcc', '-E', src, '-o', os.path.join(work, 'big.i')], check=True)
    tree = os.path.join(work, 'tree')
    for i in range(40):
        os.makedirs(os.path.join(tree, f'd{i}'), exist_ok=True)
        for j in range(25):
            with open(os.path.join(tree, f'd{i}', f'f{j}.txt'), 'w') as f:
                f.write(f'file {i} {j}\n' * (1 + (i * j) % 60))
    os.chmod(work, 0o777)


def find(*names):
    for n in names:
        p = shutil.which(n)
        if p:
            return p
    return None


def cases():
    cc1 = subprocess.run(['gcc', '-print-prog-name=cc1'], capture_output=True, text=True).stdout.strip() if find('gcc') else None
    py = '/usr/bin/python3'
    out = [
        Case('sort', ['sort', 'text']),
        Case('sort-parallel', ['sort', '--parallel=2', '-S', '8M', '-k2', 'text']),
        Case('gzip', ['gzip', '-c', 'text']),
        Case('xz', ['xz', '-T2', '-0', '--block-size=1MiB', '-c', 'text']),
        Case('zstd', ['zstd', '-T2', '-3', '-q', '-c', 'text']),
        Case('sqlite-memory', ['sqlite3', ':memory:'], stdin='in.sql'),
        Case('sqlite-file', ['sqlite3', 'test.db'], stdin='in.sql', outputs=('test.db',)),
        Case('python', [py, '-S', 'work.py']),
        Case('perl', ['perl', 'work.pl']),
        Case('awk', ['awk', AWK, 'text']),
        Case('grep', ['grep', '-rc', 'file 1', 'tree'], filter=lambda o: b'\n'.join(sorted(o.split(b'\n')))),
        Case('grep-none', ['grep', 'nothing like this', 'text']),
        Case('find', ['find', 'tree', '-name', '*7.txt', '-size', '-3k'], filter=lambda o: b'\n'.join(sorted(o.split(b'\n')))),
        Case('tar', ['tar', '--sort=name', '-cf', '-', 'tree']),
        Case('sha256sum', ['sha256sum', 'text', 'big.c']),
        Case('openssl', ['openssl', 'dgst', '-sha512', 'text']),
        Case('date-status', ['false']),
        Case('missing-file', ['cat', 'does-not-exist']),
    ]
    bb = '/bin/busybox'
    if os.path.exists(bb):
        out += [Case('busybox-sort', [bb, 'sort', 'text']), Case('busybox-md5sum', [bb, 'md5sum', 'text']),
                Case('busybox-awk', [bb, 'awk', AWK, 'text']), Case('busybox-gzip', [bb, 'gzip', '-c', 'text'])]
    if cc1:
        out.append(Case('cc1', [cc1, '-quiet', '-O1', 'big.i', '-o', 'big.s'], outputs=('big.s',)))
    return [c for c in out if c.argv[0].startswith('/') and os.path.exists(c.argv[0]) or find(c.argv[0])]


def redis_case(tap, runner, engine):
    """redis-server under softfault at half of what the load needs, redis-benchmark from outside."""
    server, bench = find('redis-server'), find('redis-benchmark')
    if not server or not bench:
        return
    port = 20000 + os.getpid() % 20000
    argv = [runner.softfault, 'run', '-q', '--engine', engine, '-m', '12M', '--', server, '--port', str(port), '--save', '',
            '--appendonly', 'no', '--bind', '127.0.0.1']
    p = subprocess.Popen(argv, cwd=runner.work, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=runner.demote)
    try:
        for _ in range(100):
            if subprocess.run(['redis-cli', '-p', str(port), 'ping'], capture_output=True).stdout == b'PONG\n':
                break
            time.sleep(0.1)
        b = subprocess.run([bench, '-p', str(port), '-n', '20000', '-r', '20000', '-d', '400', '-t', 'set,get,lpush', '-q'],
                           capture_output=True, text=True, timeout=120)
        tap.say(b.returncode == 0 and b.stdout.count('requests per second') >= 3, f'redis-benchmark {engine} in 12 MiB', b.stdout + b.stderr)
        keys = subprocess.run(['redis-cli', '-p', str(port), 'dbsize'], capture_output=True, text=True).stdout
        n = int(keys.strip() or 0) if keys.strip().isdigit() else 0
        tap.say(n > 10000, f'redis {engine} keeps its keys ({n})', keys)
        subprocess.run(['redis-cli', '-p', str(port), 'shutdown', 'nosave'], capture_output=True)
        status = p.wait(timeout=30)
        tap.say(status == 0, f'redis-server {engine} shuts down with status 0', f'status {status}')
    except (subprocess.TimeoutExpired, ValueError) as e:
        tap.say(False, f'redis {engine}', str(e))
    finally:
        for c in children(p.pid):
            os.kill(c, signal.SIGKILL)
        p.kill()
        p.wait()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('build')
    ap.add_argument('--engine', default='both')
    ap.add_argument('--only', default='')
    ap.add_argument('--user', default='')
    ap.add_argument('--keep', action='store_true')
    a = ap.parse_args()
    engines = ['uffd', 'segv'] if a.engine == 'both' else [a.engine]
    only = [x for x in a.only.split(',') if x]
    work = tempfile.mkdtemp(prefix='sf-programs.')
    tap = Tap()
    try:
        make_inputs(work)
        runner = Runner(os.path.abspath(a.build), work, a.user)
        for case in cases():
            if not only or case.name in only:
                run_case(tap, runner, case, engines)
        for engine in engines:
            if not only or 'redis' in only:
                redis_case(tap, runner, engine)
    finally:
        if a.keep:
            print(f'# kept {work}')
        else:
            shutil.rmtree(work, ignore_errors=True)
    print(f'1..{tap.n}')
    return 1 if tap.failed else 0


if __name__ == '__main__':
    sys.exit(main())
