#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench.py - what softfault costs, as ratios measured in one run

    bench/bench.py BUILD_DIR [SECTION ...] [--runs N]      sections: faults programs pressure memory fork calls build redis lib uml

Every figure is the median of N runs (5 unless told), and what is compared runs in turn, A B A B, so that a drift of the
machine hits both.  Costs of faults and the first table of programs are processor time, which a busy machine disturbs least; programs
under pressure wait for a disk, so there it is wall time, with processor time beside it."""
import argparse
import json
import os
import resource
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
        self.forks = os.path.join(self.build, 'forks')
        self.work = tempfile.mkdtemp(prefix='sf-bench.', dir='/var/tmp')
        self.killed = {}
        # the host copies the table of descriptors up to the highest at each fork, and ours lie below the limit: the usual one
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))

    def under(self, engine, argv, opts=()):
        return [self.softfault, 'run', '-q', '--engine', engine, *opts, '--', *argv]

    def number(self, argv, at=-1):
        r = subprocess.run(argv, capture_output=True, text=True, timeout=600)
        try:
            return float(r.stdout.split()[at])
        except (ValueError, IndexError):
            print('  failed:', ' '.join(argv), r.stderr.strip()[-200:], file=sys.stderr)
            return float('nan')

    def times(self, argv):
        """(wall, processor) seconds of one run; infinite when it does not finish."""
        r0, t0 = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        try:
            r = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self.work, timeout=300)
        except subprocess.TimeoutExpired:
            return (float('inf'), float('inf'))
        t1, r1 = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        if r.returncode:
            self.killed[argv[0]] = self.killed.get(argv[0], 0) + 1
            return (float('inf'), float('inf'))
        return (t1 - t0, r1.ru_utime - r0.ru_utime + r1.ru_stime - r0.ru_stime)

    def median_times(self, commands):
        got = {n: [] for n in commands}
        for _ in range(self.runs):
            for n, argv in commands.items():
                got[n].append(self.times(argv))
        return {n: tuple(statistics.median(x[i] for x in v) for i in (0, 1)) for n, v in got.items()}

    def interleaved(self, commands, measure):
        """{name: argv} -> {name: median}, one run of each in turn."""
        got = {n: [] for n in commands}
        for _ in range(self.runs):
            for n, argv in commands.items():
                got[n].append(measure(argv))
        return {n: statistics.median(v) for n, v in got.items()}


def section_faults(b):
    print('\nCost of one fault, ns (program-side, signal round trip included); bare = empty handler + the one system call')
    rows = [('anon-random', 'first-touch write, shuffled', ('bare-uffd', 'bare-segv')),
            ('anon-seq', 'the same in order, per page', ('bare-uffd16', 'bare-segv')),
            ('file-read', 'file read, 16 pages a fault', ('bare-file', 'bare-filesegv')),
            ('text-read', 'the same, may not be written', ('bare-file', 'bare-filesegv')),
            ('cow', 'copy-on-write of a file page', ('bare-wp', 'bare-mprotect')),
            ('wp', 'write to a page read before', ('bare-wp', 'bare-mprotect')),
            ('trap', "program's SIGSEGV handler", ('trap', 'trap')),
            ('segv', 'the same and an mprotect', ('segv', 'segv')),
            ('syscall', 'system call (getppid)', ('syscall', 'syscall'))]
    print(f"{'':34s}{'native':>9s} " + ''.join(f'{e:>9s}{"bare":>9s}{"x bare":>8s}{"x native":>9s} ' for e in ENGINES))
    for mode, label, bare in rows:
        cmds = {'native': [b.faults, mode]}
        for e, base in zip(ENGINES, bare):
            cmds[e] = b.under(e, [b.faults, mode])
            cmds['bare ' + e] = [b.faults, base]
        m = b.interleaved(cmds, b.number)
        line = f"{label:34s}{m['native']:9.0f} "
        for e in ENGINES:
            line += f"{m[e]:9.0f}{m['bare ' + e]:9.0f}{m[e] / m['bare ' + e]:8.2f}{m[e] / m['native']:9.2f} "
        print(line, flush=True)
    out = os.path.join(b.work, 'sparse.json')
    subprocess.run([b.softfault, 'run', '--engine', 'uffd', '--stats=json', '-o', out, '--', b.faults, 'sparse', '16384'], capture_output=True, check=False)
    with open(out) as f:
        m = json.load(f)
    print(f"sparse touches (one page in 16): {(m['memory']['peak_resident_bytes'] >> 12)} pages resident for 1024 touched and a program of about 300")


def inputs(b):
    text = os.path.join(b.work, 'text')
    with open(text, 'w') as f:
        x = 12345
        for i in range(400000):
            x = (x * 1103515245 + 12345) & 0x7fffffff
            f.write(f'{x} line {i} {x % 997} the quick brown fox {x ^ i}\n')
    sql = ("CREATE TABLE t(a INTEGER PRIMARY KEY, b INTEGER, c TEXT);WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n "
           "WHERE i<600000) INSERT INTO t SELECT i,(i*7919)%100003,'row '||i FROM n;CREATE INDEX tb ON t(b);"
           "SELECT b%17,count(*),sum(length(c)) FROM t GROUP BY 1;")
    return {'xz': ['xz', '-T1', '-1', '-c', text], 'sqlite3': ['sqlite3', ':memory:', sql],
            'sort': ['sort', '-S', '200M', '--parallel=1', text]}


def pressed(b):
    """Programs with some locality: where every access goes anywhere (xz's match finder), all that is measured is the disk."""
    work = {n: argv for n, argv in inputs(b).items() if n != 'xz'}
    churn = ('import random\nrandom.seed(1)\nd = {}\nfor i in range(400000):\n'
             '    k = int(random.expovariate(1 / 30000))\n    d[k] = d.get(k, ()) [-3:] + (i,)\n'
             'l = [[i, str(i)] for i in range(150000)]\nprint(len(d), sum(len(x[1]) for x in l))\n')
    return work | {'python': ['/usr/bin/python3', '-S', '-c', churn]}


def section_programs(b):
    print('\nPrograms whose data fit: processor seconds, and wall seconds where they differ in kind')
    print(f"{'':10s}{'native':>9s} " + ''.join(f'{e:>9s}{"ratio":>7s}{"wall":>7s} ' for e in ENGINES))
    for name, argv in inputs(b).items():
        if not shutil.which(argv[0]):
            continue
        m = b.median_times({'native': argv, **{e: b.under(e, argv) for e in ENGINES}})
        print(f"{name:10s}{m['native'][1]:9.2f} " +
              ''.join(f"{m[e][1]:9.2f}{m[e][1] / m['native'][1]:7.2f}{m[e][0] / m['native'][0]:7.2f} " for e in ENGINES), flush=True)
    m = b.median_times({'native': ['/bin/true'], **{e: b.under(e, ['/bin/true']) for e in ENGINES}})
    print('start and end of /bin/true, ms: ' + ', '.join(f'{n} {v[0] * 1e3:.1f}' for n, v in m.items()))


def peak_of(b, argv):
    out = os.path.join(b.work, 'stats.json')
    subprocess.run([b.softfault, 'run', '--engine', 'uffd', '--stats=json', '-o', out, '--', *argv],
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=b.work, check=False)
    with open(out) as f:
        return json.load(f)['memory']['peak_resident_bytes']


class Cgroup:
    """A memory cgroup (v2, or v1 where that is mounted) with swap on a file of the same disk; OSError where it cannot be had."""
    def __init__(self, b):
        self.swap, self.dir = os.path.join(b.work, 'swapfile'), None
        if os.geteuid():
            raise OSError('only root may')
        root = '/sys/fs/cgroup'
        if os.path.isdir(root + '/memory'):
            self.dir, self.limit = root + '/memory/sf-bench', 'memory.limit_in_bytes'
        elif 'memory' in open(root + '/cgroup.controllers').read().split():
            with open(root + '/cgroup.subtree_control', 'w') as f:
                f.write('+memory')
            self.dir, self.limit = root + '/sf-bench', 'memory.max'
        else:
            raise OSError('no memory controller')
        subprocess.run(['dd', 'if=/dev/zero', f'of={self.swap}', 'bs=1M', 'count=1024', 'status=none'], check=True)
        os.chmod(self.swap, 0o600)
        subprocess.run(['mkswap', '-q', self.swap], check=True, capture_output=True)
        subprocess.run(['swapon', self.swap], check=True, capture_output=True)
        os.makedirs(self.dir, exist_ok=True)

    def argv(self, bound, argv):
        return ['sh', '-c', f'echo {bound} > {self.dir}/{self.limit}; echo $$ > {self.dir}/cgroup.procs; exec "$@"', 'sh', *argv]

    def close(self):
        subprocess.run(['swapoff', self.swap], capture_output=True)
        try:
            os.rmdir(self.dir)
        except OSError:
            pass


def section_pressure(b):
    print("\nPrograms under their need: wall/processor seconds; cgroup = the kernel's own limit with swap on a file of the same disk")
    try:
        cg = Cgroup(b)
    except (OSError, subprocess.CalledProcessError) as e:
        print(f'  no cgroup to compare with on this machine: {e}')
        cg = None
    print(f"{'':26s}" + ''.join(f'{n:>14s}' for n in ('native', 'cgroup', 'file', 'zram')) + f"{'file/cg':>9s}{'zram/cg':>9s}  cgroup killed")
    try:
        for name, argv in pressed(b).items():
            if not shutil.which(argv[0]):
                continue
            peak = peak_of(b, argv)
            for frac in (2, 4):
                bound = peak // frac & ~4095
                cmds = {'native': argv}
                if cg:
                    cmds['cgroup'] = cg.argv(bound, argv)
                cmds |= {'file': b.under('auto', argv, ['-m', str(bound), '--swap', b.work]),
                         'zram': b.under('auto', argv, ['-m', str(bound), '--swap', 'zram,' + b.work])}
                b.killed.clear()
                m = {'cgroup': (float('nan'),) * 2, **b.median_times(cmds)}
                print(f"{name + ' 1/' + str(frac) + ' of ' + str(peak >> 20) + ' MiB':26s}" +
                      ''.join(f'{m[n][0]:8.2f}/{m[n][1]:5.2f}' for n in ('native', 'cgroup', 'file', 'zram')) +
                      f"{m['file'][0] / m['cgroup'][0]:9.2f}{m['zram'][0] / m['cgroup'][0]:9.2f}  {b.killed.get('sh', 0)} of {b.runs}", flush=True)
    finally:
        if cg:
            cg.close()


def section_memory(b):
    print('\nOur own memory')
    def memory(mode, pages, opts=()):
        out = os.path.join(b.work, 'mem.json')
        subprocess.run([b.softfault, 'run', '--engine', 'uffd', '--stats=json', '-o', out, *opts, '--', b.faults, mode, str(pages)],
                       capture_output=True, check=False)
        with open(out) as f:
            return json.load(f)['memory']
    none, few, many = memory('syscall', 1), memory('anon-seq', 65536), memory('anon-seq', 131072)
    sfew, smany = memory('anon-seq', 65536, ('-m', '16M')), memory('anon-seq', 131072, ('-m', '16M'))
    print(f"  fixed {none['kernel_fixed_bytes'] >> 10} KiB, tables of a small program {none['kernel_tables_bytes'] >> 10} KiB")
    print(f"  {(many['kernel_tables_bytes'] - few['kernel_tables_bytes']) / 65536:.1f} bytes a resident page, "
          f"{(smany['kernel_tables_bytes'] - sfew['kernel_tables_bytes']) / 65536:.1f} a swapped page")


def section_fork(b):
    print('\nProcesses: processor microseconds of parent and child for one, and of native; 256M bound: with a tree')
    ways = {'native': lambda argv: argv, 'uffd': lambda argv: b.under('uffd', argv), 'segv': lambda argv: b.under('segv', argv),
            '-m 256M': lambda argv: b.under('uffd', argv, ('-m', '256M'))}
    print(f"{'':28s}{'native':>9s} " + ''.join(f'{w:>9s}{"ratio":>7s} ' for w in ways if w != 'native'))
    for mode, label in (('fork', 'fork + exit'), ('exec', 'fork + exec + exit'), ('spawn', 'posix_spawn')):
        for mib in (1, 10, 100):
            argv = [b.forks, mode, str(mib), '200' if mib < 100 else '60']
            m = b.interleaved({w: f(argv) for w, f in ways.items()}, b.number)
            print(f"{label + f', {mib} MiB':28s}{m['native']:9.0f} " +
                  ''.join(f"{m[w]:9.0f}{m[w] / m['native']:7.2f} " for w in ways if w != 'native'), flush=True)


def section_calls(b):
    print('\nOne system call (getppid), ns')
    ways = {'native': [b.faults, 'syscall'], 'patched': b.under('uffd', [b.faults, 'syscall']),
            '--no-patch': b.under('uffd', [b.faults, 'syscall'], ('--no-patch',)),
            'seccomp, patched': b.under('uffd', [b.faults, 'syscall'], ('--trap', 'seccomp')),
            'seccomp, --no-patch': b.under('uffd', [b.faults, 'syscall'], ('--trap', 'seccomp', '--no-patch'))}
    m = b.interleaved(ways, b.number)
    for w, v in m.items():
        print(f"  {w:20s}{v:8.0f}  {v - m['native']:+8.0f}", flush=True)


def project(b):
    """A C project of 100 files."""
    d = os.path.join(b.work, 'project')
    os.mkdir(d)
    for i in range(100):
        with open(os.path.join(d, f'm{i}.c'), 'w') as f:
            f.write('#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n')
            for k in range(20):
                f.write(f'int f{i}_{k}(int a, int b)\n{{\n\tint s = 0;\n\tfor (int i = 0; i < a; i++)\n\t\ts += i * b ^ (s >> {k % 7 + 1});\n'
                        '\tchar buf[64];\n\tsnprintf(buf, sizeof buf, "%d", s);\n\treturn s + (int)strlen(buf);\n}\n')
    with open(os.path.join(d, 'main.c'), 'w') as f:
        f.write(''.join(f'int f{i}_0(int, int);\n' for i in range(100)) + 'int main(void)\n{\n\tint s = 0;\n' +
                ''.join(f'\ts += f{i}_0({i}, s);\n' for i in range(100)) + '\treturn s & 1;\n}\n')
    with open(os.path.join(d, 'Makefile'), 'w') as f:
        f.write('OBJ = main.o $(patsubst %,m%.o,$(shell seq 0 99))\nCFLAGS = -O1\nprog: $(OBJ)\n\t$(CC) -o $@ $(OBJ)\n')
    return d


def section_build(b):
    print('\nmake -j2 of a C project of 100 files: wall / processor seconds')
    make = ['make', '-B', '-s', '-j2', '-C', project(b)]
    m = b.median_times({'native': make, **{e: b.under(e, make) for e in ENGINES}, 'no-patch': b.under('uffd', make, ('--no-patch',))})
    for w, v in m.items():
        print(f"  {w:10s}{v[0]:7.2f} /{v[1]:7.2f}   ratio {v[0] / m['native'][0]:5.2f} /{v[1] / m['native'][1]:5.2f}", flush=True)


def redis_rates(b, server, port):
    p = subprocess.Popen(server + ['--port', str(port), '--save', '', '--appendonly', 'no', '--dir', b.work],
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if subprocess.run(['redis-cli', '-p', str(port), 'ping'], capture_output=True, check=False).stdout == b'PONG\n':
                break
            time.sleep(0.05)
        r = subprocess.run(['redis-benchmark', '-p', str(port), '-n', '50000', '-c', '50', '-t', 'set,get', '--csv'],
                           capture_output=True, text=True, timeout=120, check=False)
        return [float(line.split(',')[1].strip('"')) for line in r.stdout.splitlines() if line.startswith(('"SET"', '"GET"'))]
    finally:
        p.terminate()
        p.wait()


def section_redis(b):
    print('\nredis-benchmark (50 clients), thousand requests a second')
    if not shutil.which('redis-benchmark'):
        print('  not installed; skipped')
        return
    server = ['redis-server']
    ways = {'native': server, **{e: b.under(e, server) for e in ENGINES}, 'no-patch': b.under('uffd', server, ('--no-patch',))}
    got = {w: [] for w in ways}
    for i in range(b.runs):
        for k, (w, argv) in enumerate(ways.items()):
            got[w].append(redis_rates(b, argv, 17400 + 10 * i + k))
    for w, v in got.items():
        rate = [statistics.median(x[i] for x in v if len(x) == 2) for i in (0, 1)]
        native = [statistics.median(x[i] for x in got['native'] if len(x) == 2) for i in (0, 1)]
        print(f"  {w:10s} SET {rate[0] / 1e3:6.1f} ({rate[0] / native[0]:.2f})  GET {rate[1] / 1e3:6.1f} ({rate[1] / native[1]:.2f})", flush=True)


def uml_rows(b):
    """What is run in it: a name, the command, and how many units of ours its figure counts."""
    return [(mode, [b.faults, mode, '8192'], 'ns') for mode in ('anon-random', 'anon-seq', 'trap', 'syscall')] + \
           [(f'{mode} {mib} MiB', [b.forks, mode, str(mib), '30'], 'us') for mode in ('fork', 'exec') for mib in (1, 10, 100)]


def section_uml(b):
    uml = shutil.which('linux.uml') or shutil.which('linux')
    print('\nUser-Mode Linux')
    if not uml:
        print('  not installed (Debian: user-mode-linux); skipped')
        return
    script = os.path.join(b.work, 'init')
    with open(script, 'w') as f:
        f.write('#!/bin/sh\nmount -t proc proc /proc\n')
        for name, argv, _ in uml_rows(b):
            f.write(f'for i in 1 2 3 4 5; do echo "UML {name}: $({" ".join(argv)})"; done\n')
        f.write('echo UML-END\n/sbin/halt -f || poweroff -f || kill -9 1\n')
    os.chmod(script, 0o755)
    try:
        r = subprocess.run([uml, 'rootfstype=hostfs', 'rootflags=/', 'rw', 'mem=512M', f'init={script}', 'con=null', 'con0=null,fd:1'],
                           capture_output=True, text=True, timeout=180)
        text = r.stdout
    except subprocess.TimeoutExpired as e:
        text = (e.stdout or b'').decode(errors='replace')
    for name, argv, unit in uml_rows(b):
        lines = [line.split(f'UML {name}:')[1].split() for line in text.splitlines() if f'UML {name}:' in line]
        at = 0 if unit == 'us' else -1  # wall time for processes: its processor time is not told in full
        vals = [float(w[at]) for w in lines if w]
        if not vals:
            print(f'  {name}: UML did not run here')
            continue
        ours = b.interleaved({e: b.under(e, argv) for e in ENGINES}, lambda a, at=at: b.number(a, at))
        v = statistics.median(vals)
        print(f'  {name}: UML {v:.0f} {unit}, ' + ', '.join(f'{e} {ours[e]:.0f} {unit} ({v / ours[e]:.1f} times faster)' for e in ENGINES), flush=True)


BOUND, DATA = 64 << 20, 256 << 20


class CacheCgroup:
    """A memory cgroup of the bound's size, for mappings of a file that nobody else reads; OSError where it cannot be had."""
    def __init__(self):
        if os.geteuid():
            raise OSError('only root may make one')
        root = '/sys/fs/cgroup'
        if os.path.isdir(root + '/memory'):
            self.dir, limit = root + '/memory/sf-bench-lib', 'memory.limit_in_bytes'
        elif 'memory' in open(root + '/cgroup.controllers').read().split():
            with open(root + '/cgroup.subtree_control', 'w') as f:
                f.write('+memory')
            self.dir, limit = root + '/sf-bench-lib', 'memory.max'
        else:
            raise OSError('no memory controller')
        os.makedirs(self.dir, exist_ok=True)
        with open(f'{self.dir}/{limit}', 'w') as f:
            f.write(str(BOUND + (4 << 20))) # the program itself

    def argv(self, argv):
        return ['sh', '-c', f'echo $$ > {self.dir}/cgroup.procs; exec "$@"', 'sh', *argv]

    def close(self):
        try:
            os.rmdir(self.dir)
        except OSError:
            pass


def lib_files(b):
    """Two files of random bytes: one that stays in the host's page cache, one for those who are to read the device."""
    files = [os.path.join(b.work, n) for n in ('warm', 'cold')]
    for path in files:
        with open(path, 'wb') as f:
            for _ in range(DATA >> 20):
                f.write(os.urandom(1 << 20))
            f.flush()
            os.fsync(f.fileno())
            if path.endswith('cold'):
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return files


class Paging:
    def __init__(self, b):
        self.b, self.cg = b, None
        self.warm, self.cold = lib_files(b)
        try:
            self.cg = CacheCgroup()
        except OSError as e:
            print(f'  no memory cgroup to compare mmap in: {e}')

    def argv(self, means, pattern, op, page, threads):
        device = means.endswith('-direct') or means.startswith('mmap') or pattern == 'once'
        argv = [os.path.join(self.b.build, 'lib_paging'), means, pattern, op, str(page), str(threads), self.cold if device else self.warm,
                str(BOUND), '250']
        return self.cg.argv(argv) if means.startswith('mmap') else argv

    def run(self, argv):
        try:
            r = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        except subprocess.TimeoutExpired:
            print('  not done in 60 s:', ' '.join(argv[-8:]), file=sys.stderr)
            return ()
        try:
            return tuple(float(x) for x in r.stdout.split()[-2:])
        except ValueError:
            print('  failed:', ' '.join(argv), r.stderr.strip()[-200:], file=sys.stderr)
        return ()

    def line(self, label, means, *how):
        got = {m: [] for m in means}
        for _ in range(self.b.runs):
            for m in means:
                got[m].append(self.run(self.argv(m, *how)) or (float('nan'),) * 2)
        med = {m: tuple(statistics.median(x[i] for x in v) for i in (0, 1)) for m, v in got.items()}
        print(f'  {label:32s}' + ''.join(f'{med[m][0]:10,.0f} {med[m][1]:9,.0f}' for m in means), flush=True)
        return med

    def table(self, title, means, lines):
        means = [m for m in means if self.cg or not m.startswith('mmap')]
        print(f'\n{title}\n  {"":32s}' + ''.join(f'{m:>20s}' for m in means))
        return {label: self.line(label, means, *how) for label, *how in lines}


def lib_tables(p):
    warm = p.table('Data warm in the page cache: accesses a second, and ns of processor time for each', ('uffd', 'segv', 'pool', 'pread'), [
        ('uniform reads, 4 KiB', 'uniform', 'r', 4096, 1), ('Zipf reads, 4 KiB', 'zipf', 'r', 4096, 1),
        ('uniform writes, 4 KiB', 'uniform', 'w', 4096, 1), ('Zipf writes, 4 KiB', 'zipf', 'w', 4096, 1),
        ('uniform reads, 64 KiB', 'uniform', 'r', 65536, 1), ('Zipf reads, 64 KiB', 'zipf', 'r', 65536, 1),
        ('Zipf writes, 64 KiB', 'zipf', 'w', 65536, 1),
        ('uniform reads, 4 KiB, 2 threads', 'uniform', 'r', 4096, 2), ('Zipf reads, 4 KiB, 2 threads', 'zipf', 'r', 4096, 2),
        ('Zipf writes, 4 KiB, 2 threads', 'zipf', 'w', 4096, 2)])
    print(f"  uffd: uniform {warm['uniform reads, 4 KiB']['uffd'][0] / 90000:.2f} of 90,000 reads/s, "
          f"Zipf {warm['Zipf reads, 4 KiB']['uffd'][0] / 504000:.2f} of 504,000")
    scan = p.table('Sequential scan, every byte: pages of 4 KiB a second, and ns for each', ('uffd', 'segv', 'pread'), [
        ('warm, 1 thread', 'scan', 'r', 4096, 1), ('warm, 2 threads', 'scan', 'r', 4096, 2)])
    cold = p.table('Cold data, no page twice', ('uffd', 'segv', 'pread'), [('shuffled reads, 4 KiB', 'once', 'r', 4096, 1)])
    for label, m in (scan | cold).items():
        print(f'  {label}: ' + ', '.join(f"{e} {m[e][0] / m['pread'][0]:.2f} of pread by wall, {m['pread'][1] / m[e][1]:.2f} by processor"
                                         for e in ENGINES))
    p.table('From the device: mmap in a memory cgroup of the same size', ('uffd-direct', 'pool-direct', 'mmap', 'mmap-random'), [
        ('uniform reads, 4 KiB', 'uniform', 'r', 4096, 1), ('Zipf reads, 4 KiB', 'zipf', 'r', 4096, 1),
        ('Zipf writes, 4 KiB', 'zipf', 'w', 4096, 1), ('Zipf reads, 4 KiB, 2 threads', 'zipf', 'r', 4096, 2)])


def section_lib(b):
    print(f'\nlibsoftfault: {DATA >> 20} MiB of data in {BOUND >> 20} MiB')
    p = Paging(b)
    try:
        lib_tables(p)
    finally:
        if p.cg:
            p.cg.close()
    for title, *argv in (('Fault-safe access, ns of processor time', 'lib_access'), ('Snapshots', 'lib_snapshot'),
                         ('Many regions, ns each', 'lib_cost', 'regions', '1000'), ('', 'lib_cost', 'regions', '100000'),
                         ('Sparse regions, ns a touch', 'lib_cost', 'sparse', '1'), ('', 'lib_cost', 'sparse', '100'),
                         ('Traps, ns', 'lib_cost', 'trap')):
        if title:
            print('\n' + title)
        r = subprocess.run([os.path.join(b.build, argv[0]), *argv[1:]], capture_output=True, text=True, timeout=120)
        print('  ' + (r.stdout or r.stderr).rstrip().replace('\n', '\n  '), flush=True)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('build')
    ap.add_argument('sections', nargs='*')
    ap.add_argument('--runs', type=int, default=5)
    a = ap.parse_args()
    b = Bench(a.build, a.runs)
    table = {'faults': section_faults, 'programs': section_programs, 'pressure': section_pressure, 'memory': section_memory,
             'fork': section_fork, 'calls': section_calls, 'build': section_build, 'redis': section_redis, 'lib': section_lib,
             'uml': section_uml}
    try:
        for s in a.sections or table:
            table[s](b)
    finally:
        shutil.rmtree(b.work, ignore_errors=True)


if __name__ == '__main__':
    main()
