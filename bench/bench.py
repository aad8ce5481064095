#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench.py - what softfault costs, as ratios measured in one run

    bench/bench.py BUILD_DIR [SECTION ...] [--runs N]      sections: faults programs pressure memory uml

Every figure is the median of N runs (5 unless told), and what is compared runs in turn, A B A B, so that a drift of the
machine hits both."""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ENGINES = ('uffd', 'segv')


class Bench:
    def __init__(self, build, runs):
        self.build, self.runs = os.path.abspath(build), runs
        self.softfault = os.path.join(self.build, 'softfault')
        self.faults = os.path.join(self.build, 'faults')
        self.work = tempfile.mkdtemp(prefix='sf-bench.')

    def under(self, engine, argv, opts=()):
        return [self.softfault, 'run', '-q', '--engine', engine, *opts, '--', *argv]

    def number(self, argv):
        r = subprocess.run(argv, capture_output=True, text=True, timeout=600)
        try:
            return float(r.stdout.split()[-1])
        except (ValueError, IndexError):
            print('  failed:', ' '.join(argv), r.stderr.strip()[-200:], file=sys.stderr)
            return float('nan')

    def wall(self, argv, env=None):
        t0 = time.monotonic()
        r = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self.work, env=env, timeout=1800)
        if r.returncode:
            print('  failed:', ' '.join(argv), r.stderr.decode()[-200:], file=sys.stderr)
            return float('nan')
        return time.monotonic() - t0

    def interleaved(self, commands, measure):
        """{name: argv} -> {name: median}, one run of each in turn."""
        got = {n: [] for n in commands}
        for _ in range(self.runs):
            for n, argv in commands.items():
                got[n].append(measure(argv))
        return {n: statistics.median(v) for n, v in got.items()}


def section_faults(b):
    print('\nCost of one fault, ns (program-side, signal round trip included); bare = empty handler + the one system call')
    rows = [('anon-random', 'first-touch write, shuffled', {'uffd': 'bare-uffd', 'segv': 'bare-segv'}),
            ('anon-read', 'first-touch read, shuffled', {'uffd': 'bare-uffd', 'segv': 'bare-segv'}),
            ('file-read', 'private file read, shuffled', {'uffd': 'bare-uffd', 'segv': 'bare-segv'}),
            ('cow', 'copy-on-write of a file page', {'uffd': 'bare-wp', 'segv': 'bare-segv'}),
            ('segv', "program's SIGSEGV + mprotect", {'uffd': None, 'segv': None}),
            ('anon-seq', 'sequential first touch, per page', {'uffd': 'bare-uffd16', 'segv': 'bare-segv'}),
            ('syscall', 'trapped system call (getppid)', {'uffd': None, 'segv': None})]
    print(f"{'':34s}{'native':>9s} " + ''.join(f'{e:>9s}{"bare":>9s}{"x bare":>8s}{"x native":>9s} ' for e in ENGINES))
    for mode, label, bare in rows:
        cmds = {'native': [b.faults, mode]}
        for e in ENGINES:
            cmds[e] = b.under(e, [b.faults, mode])
            if bare[e]:
                cmds['bare ' + e] = [b.faults, bare[e]]
        m = b.interleaved(cmds, b.number)
        line = f"{label:34s}{m['native']:9.0f} "
        for e in ENGINES:
            base = m.get('bare ' + e)
            line += f"{m[e]:9.0f}" + (f'{base:9.0f}{m[e] / base:8.2f}' if base else f"{'':>9s}{'':>8s}") + f"{m[e] / m['native']:9.2f} "
        print(line, flush=True)


def inputs(b):
    text = os.path.join(b.work, 'text')
    with open(text, 'w') as f:
        x = 12345
        for i in range(600000):
            x = (x * 1103515245 + 12345) & 0x7fffffff
            f.write(f'{x} line {i} {x % 997} the quick brown fox {x ^ i}\n')
    sql = ("CREATE TABLE t(a INTEGER PRIMARY KEY, b INTEGER, c TEXT);WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n "
           "WHERE i<600000) INSERT INTO t SELECT i,(i*7919)%100003,'row '||i FROM n;CREATE INDEX tb ON t(b);"
           "SELECT b%17,count(*),sum(length(c)) FROM t GROUP BY 1;")
    return {'xz': ['xz', '-T1', '-3', '-c', text], 'sqlite3': ['sqlite3', ':memory:', sql],
            'sort': ['sort', '-S', '200M', '--parallel=1', text]}


def section_programs(b):
    print('\nPrograms whose data fit: wall seconds')
    print(f"{'':10s}{'native':>9s} " + ''.join(f'{e:>9s}{"ratio":>7s} ' for e in ENGINES))
    for name, argv in inputs(b).items():
        if not shutil.which(argv[0]):
            continue
        m = b.interleaved({'native': argv, **{e: b.under(e, argv) for e in ENGINES}}, b.wall)
        print(f"{name:10s}{m['native']:9.2f} " + ''.join(f"{m[e]:9.2f}{m[e] / m['native']:7.2f} " for e in ENGINES), flush=True)


def peak_of(b, argv):
    out = os.path.join(b.work, 'stats.json')
    subprocess.run([b.softfault, 'run', '--engine', 'uffd', '--stats=json', '-o', out, '--', *argv],
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=b.work, check=False)
    with open(out) as f:
        return json.load(f)['memory']['peak_resident_bytes']


class Cgroup:
    """A memory cgroup with swap on a file of the same disk, when this machine and user allow it; None otherwise."""
    def __init__(self, b):
        self.swap = os.path.join(b.work, 'swapfile')
        self.dir = None
        root = '/sys/fs/cgroup'
        if os.geteuid() or 'memory' not in open(root + '/cgroup.controllers').read():
            raise OSError('no memory controller')
        with open(root + '/cgroup.subtree_control', 'w') as f:
            f.write('+memory')
        subprocess.run(['dd', 'if=/dev/zero', f'of={self.swap}', 'bs=1M', 'count=2048', 'status=none'], check=True)
        os.chmod(self.swap, 0o600)
        subprocess.run(['mkswap', '-q', self.swap], check=True, capture_output=True)
        subprocess.run(['swapon', self.swap], check=True, capture_output=True)
        self.dir = root + '/sf-bench'
        os.makedirs(self.dir, exist_ok=True)

    def argv(self, bound, argv):
        return ['sh', '-c', f'echo {bound} > {self.dir}/memory.max; echo $$ > {self.dir}/cgroup.procs; exec "$@"', 'sh', *argv]

    def close(self):
        subprocess.run(['swapoff', self.swap], capture_output=True)
        if self.dir:
            os.rmdir(self.dir)


def section_pressure(b):
    print("\nPrograms under their need: wall seconds; cgroup = the kernel's own memory.max with swap on a file of the same disk")
    try:
        cg = Cgroup(b)
    except (OSError, subprocess.CalledProcessError) as e:
        print(f'  no cgroup to compare with on this machine: {e}')
        cg = None
    print(f"{'':22s}{'native':>8s}{'cgroup':>8s}{'file':>8s}{'zram':>8s}{'file/cg':>9s}{'zram/cg':>9s}{'file/nat':>9s}{'zram/nat':>9s}")
    try:
        for name, argv in inputs(b).items():
            if not shutil.which(argv[0]):
                continue
            peak = peak_of(b, argv)
            for frac in (2, 4):
                bound = peak // frac & ~4095
                cmds = {'native': argv, 'file': b.under('auto', argv, ['-m', str(bound)]),
                        'zram': b.under('auto', argv, ['-m', str(bound), '--swap', 'zram,' + b.work])}
                if cg:
                    cmds['cgroup'] = cg.argv(bound, argv)
                m = b.interleaved(cmds, b.wall)
                c = m.get('cgroup', float('nan'))
                print(f"{name + ' 1/' + str(frac) + ' of ' + str(peak >> 20) + ' MiB':22s}{m['native']:8.2f}{c:8.2f}{m['file']:8.2f}{m['zram']:8.2f}"
                      f"{m['file'] / c:9.2f}{m['zram'] / c:9.2f}{m['file'] / m['native']:9.2f}{m['zram'] / m['native']:9.2f}", flush=True)
    finally:
        if cg:
            cg.close()


def section_memory(b):
    print('\nOur own memory')
    for label, mode, pages, opts in (('fixed (a program that does nothing)', 'syscall', 1, ()),
                                     ('resident', 'anon-seq', 131072, ()), ('swapped', 'anon-seq', 131072, ('-m', '16M'))):
        out = os.path.join(b.work, 'mem.json')
        subprocess.run([b.softfault, 'run', '--engine', 'uffd', '--stats=json', '-o', out, *opts, '--', b.faults, mode, str(pages)],
                       capture_output=True, check=False)
        with open(out) as f:
            m = json.load(f)['memory']
        print(f"  {label:40s} {m.get('kernel_bytes', 0) >> 10} KiB fixed, {m.get('meta_bytes', 0) / max(pages, 1):.1f} bytes of tables a page")


def section_uml(b):
    uml = shutil.which('linux.uml') or shutil.which('linux')
    print('\nUser-Mode Linux')
    if not uml:
        print('  not installed (Debian: user-mode-linux); skipped')
        return
    script = os.path.join(b.work, 'init')
    with open(script, 'w') as f:
        f.write('#!/bin/sh\nmount -t proc proc /proc\n')
        for mode in ('anon-random', 'syscall'):
            f.write(f'for i in 1 2 3 4 5; do echo "UML {mode} $({b.faults} {mode} 8192)"; done\n')
        f.write('echo UML-END\n/sbin/halt -f || poweroff -f || kill -9 1\n')
    os.chmod(script, 0o755)
    try:
        r = subprocess.run([uml, 'rootfstype=hostfs', 'rootflags=/', 'rw', 'mem=512M', f'init={script}', 'con=null', 'con0=null,fd:1'],
                           capture_output=True, text=True, timeout=180)
        text = r.stdout
    except subprocess.TimeoutExpired as e:
        text = (e.stdout or b'').decode(errors='replace')
    for mode in ('anon-random', 'syscall'):
        vals = [float(w[-1]) for w in (l.split() for l in text.splitlines() if f'UML {mode}' in l) if len(w) > 2]
        ours = b.interleaved({e: b.under(e, [b.faults, mode, '8192']) for e in ENGINES}, b.number)
        if vals:
            v = statistics.median(vals)
            print(f'  {mode}: UML {v:.0f} ns, ' + ', '.join(f'{e} {ours[e]:.0f} ns ({v / ours[e]:.1f} times faster)' for e in ENGINES))
        else:
            print(f'  {mode}: UML did not run here')


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('build')
    ap.add_argument('sections', nargs='*')
    ap.add_argument('--runs', type=int, default=5)
    a = ap.parse_args()
    b = Bench(a.build, a.runs)
    table = {'faults': section_faults, 'programs': section_programs, 'pressure': section_pressure, 'memory': section_memory,
             'uml': section_uml}
    try:
        for s in a.sections or table:
            table[s](b)
    finally:
        shutil.rmtree(b.work, ignore_errors=True)


if __name__ == '__main__':
    main()
