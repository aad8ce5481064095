#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""robust.py - what goes wrong around a whole program: bad input, a broken swap device, failing host calls, kills, narrow
limits, a host that lacks something

    tests/robust.py DIRECTORY [PART...]     DIRECTORY holds softfault, softfault-um and tests/; prints TAP

In every case the program's output is right, or there is a clear line on stderr and a sane status; never a hang, an oops of
the user-mode kernel, a wrong byte, or something left behind."""
import ctypes
import json
import os
import pty
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

OVERHEAD = 4 << 20  # of a process with a bound of 8 MiB, see softfault-run(1), LIMITS
ENGINES = ('uffd', 'segv')
HERE = os.path.abspath(sys.argv[1])
SOFTFAULT = os.path.join(HERE, 'softfault')
PROGS = os.path.join(HERE, 'tests') if os.path.exists(os.path.join(HERE, 'tests', 'memcheck')) else os.path.join(HERE, 'tests', 'progs')
MEMCHECK = os.path.join(PROGS, 'memcheck')
DENY = os.path.join(PROGS, 'deny')
WORK = tempfile.mkdtemp(prefix='sf-robust.')
nr = failed = 0


def tap(ok, name, detail=''):
    global nr, failed
    nr += 1
    failed += not ok
    print(f"{'ok' if ok else 'not ok'} {nr} - {name}", flush=True)
    for line in str(detail).strip().splitlines()[-12:] if not ok else []:
        print(f'# {line}', flush=True)
    return ok


def skip(name, why):
    global nr
    nr += 1
    print(f'ok {nr} - {name} # SKIP {why}', flush=True)


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __str__(self):
        return f'status {self.status}, stdout {self.out[-200:]!r}\n{self.err}'


def execute(argv, env=None, stdin=b'', timeout=60, **more):
    """Run it to its end; 'TIMEOUT' as its status if it hangs."""
    e = dict(os.environ, **(env or {}))
    try:
        p = subprocess.run(argv, capture_output=True, input=stdin, env=e, timeout=timeout, cwd=more.pop('cwd', WORK), **more)
    except subprocess.TimeoutExpired as x:
        return Result('TIMEOUT', x.stdout or b'', (x.stderr or b'').decode(errors='replace'))
    return Result(p.returncode, p.stdout, p.stderr.decode(errors='replace'))


def run(*args, **more):
    return execute([SOFTFAULT, 'run', '-q', *args], **more)


def one_line(r):
    return r.err.count('\n') == 1 and r.err.startswith('softfault: ')


def expect(name, r, status, pattern='', lines=None):
    ok = r.status == status and re.search(pattern, r.err, re.M) is not None
    return tap(ok and (lines is None or r.err.count('\n') == lines), name, r)


def place(name):
    return os.path.join(WORK, name)


def program_of(pid, wait=5):
    """The pid of the program that this softfault runs."""
    end = time.time() + wait
    while time.time() < end:
        try:
            with open(f'/proc/{pid}/task/{pid}/children') as f:
                c = f.read().split()
            if c and os.readlink(f'/proc/{c[0]}/exe').endswith('softfault-um'):
                return int(c[0])
        except OSError:
            pass
        time.sleep(0.005)
    return 0


def gone(pid, wait=5):
    end = time.time() + wait
    while time.time() < end:
        try:
            with open(f'/proc/{pid}/stat') as f:
                if f.read().rsplit(')', 1)[1].split()[0] in 'ZX':
                    return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def start(*args, **more):
    more.setdefault('stdout', subprocess.PIPE)
    more.setdefault('stderr', subprocess.PIPE)
    return subprocess.Popen([SOFTFAULT, 'run', '-q', *args], cwd=WORK, stdin=subprocess.DEVNULL, **more)


def finish(p, timeout=20):
    try:
        out, err = p.communicate(timeout=timeout)
        return Result(p.returncode, out or b'', (err or b'').decode(errors='replace'))
    except subprocess.TimeoutExpired:
        p.kill()
        p.communicate()
        return Result('TIMEOUT', b'', '')


# ---------------------------------------------------------------- loading

def part_demand():
    prog = os.path.join(PROGS, 'memcheck-static')
    pages = os.path.getsize(prog) >> 12
    with open(prog, 'rb') as f:
        entry = int.from_bytes(f.read(32)[24:], 'little')
    for engine in ENGINES:
        r = run('--engine', engine, '--fault-around', '1', '--trace', 't.bin', '--stats=json', '-o', 'j.json', prog)
        with open(place('j.json')) as f:
            read = json.load(f)['pages']['read_from_files']
        lines = [x.split() for x in execute([SOFTFAULT, 'trace', 't.bin']).out.decode().splitlines() if not x.startswith('#')]
        user = [x for x in lines if x[6][2] == 'u']
        tap(r.status == 2 and user and user[0][4] == user[0][5] == hex(entry) and user[0][6][1] == 'x' and 0 < read < pages // 2,
            f'the program comes in page by page, its entry point first, {engine}', f'{read} of {pages} pages; {user[:1]}; {r}')


# ---------------------------------------------------------------- sizes and bounds

def part_sizes():
    bad = ['', 'M', '1.2.3', '0x10', '64 M', '1e9', '%', '64MM', '-1', '+5', 'NaN', '64M,', '5%%', '\u00e9']
    for option in ('-m', '--swap-size'):
        wrong = [s for s in bad if not (lambda r: r.status == 125 and one_line(r) and 'is not a size' in r.err)(run(option, s, 'true'))]
        tap(not wrong, f'{option}: what is no size is refused', wrong)
        r = run(option, '99999999999999999999E', 'true')
        expect(f'{option}: a size beyond all bounds', r, 125, 'too large', 1)
    least = {}
    for option in ('-m', '--swap-size'):
        r = run(option, '4K', 'true')
        m = re.search(r'the minimum is (\d+K)', r.err)
        least[option] = m and m.group(1)
        tap(r.status == 125 and one_line(r) and m, f'{option} 4K: the message names the minimum', r)
    text = place('lines')
    with open(text, 'w') as f:
        f.writelines(f'{i * 7919 % 20011} line\n' for i in range(20011))
    for engine in ENGINES:
        for cmd in (['true'], ['cat', text], ['sort', '-n', text]):
            want = execute(cmd)
            r = run('--engine', engine, '-m', least['-m'] or '1M', '--', *cmd)
            tap((r.status, r.out, r.err) == (want.status, want.out, want.err), f'{cmd[0]} at the minimum, {engine}', r)
    r = run('-m', '8M', '--swap-size', least['--swap-size'] or '64K', 'cat', text)
    tap(r.status == 0 and r.out == execute(['cat', text]).out, 'cat with the smallest swap', r)


# ---------------------------------------------------------------- swap that cannot be had, or is too small

def part_swap():
    os.mkdir(place('closed'), 0o555)
    with open(place('readonly'), 'w'):
        pass
    os.chmod(place('readonly'), 0o444)
    if os.geteuid():
        r = run('-m', '8M', '--swap', place('closed'), 'true')
        expect('a directory that cannot be written', r, 125, 'cannot make a swap file in .*Permission denied', 1)
        r = run('-m', '8M', '--swap', place('closed') + '/swap', 'true')
        expect('a file in a directory that cannot be written', r, 125, "cannot open swap file '.*Permission denied", 1)
        r = run('-m', '8M', '--swap', place('readonly'), 'true')
        expect('a file that cannot be written', r, 125, "cannot open swap file '.*Permission denied", 1)
    for engine in ENGINES:
        for tiers in ('', 'zram:1M', 'none'):
            swap = ['--swap', f'{tiers},{WORK}' if tiers.startswith('zram') else tiers or WORK]
            r = run('-m', '8M', '--engine', engine, '--swap-size', '4M', *swap, '--stats=json', '-o', 'oom.json', '--', MEMCHECK, '32')
            m = re.search(r'^softfault: out of memory: killed process (\d+) \(memcheck\), resident (\d+) kB', r.err, re.M)
            ok = r.status == 137 and m and 4096 < int(m.group(2)) <= 8192 and 'page ' not in r.err.replace('pages', '')
            ok = ok and (tiers == 'none' or 'swap is full' in r.err) and r.err.count('\n') <= 2
            tap(ok, f'more than bound and swap hold, {engine}, {tiers or "file"}: a clear kill', r)
            with open(place('oom.json')) as f:
                j = json.load(f)
            ok = j['exit']['status'] == 137 and 'out of memory' in (j['exit']['killed_by'] or '') and j['events']['oom_kills'] == 1
            tap(ok, f'and the report says so, {engine}, {tiers or "file"}', j['exit'])
    tiny = place('tiny')
    os.mkdir(tiny)
    cmd = f'mount -t tmpfs -o size=2m none {tiny} && exec {SOFTFAULT} run -q -m 8M --swap {tiny} --swap-size 100M -- {MEMCHECK} 32'
    if execute(['unshare', '-Urm', 'mount', '-t', 'tmpfs', 'none', tiny]).status == 0:
        expect('a file system that fills up', execute(['unshare', '-Urm', 'sh', '-c', cmd]), 137, 'swap is full[^$]*killed process')
    else:
        skip('a file system that fills up', 'no user namespaces here')


# ---------------------------------------------------------------- swap that breaks

def part_inject():
    def hurt(what, *args, **more):
        return run('-m', '8M', *args, env={'SOFTFAULT_INJECT': what}, **more)

    for spec in ('nonsense', 'swap-read', 'swap-read:flop', 'swap-read:eio:every=0', 'swap-write:flip', 'host-call:fail', 'host-call:fail:k=x'):
        expect(f'SOFTFAULT_INJECT={spec}', hurt(spec, 'true'), 125, 'is not understood', 1)
    reads = (('eio', 'swap-read:eio:every=100', 'cannot read a page back from swap, I/O error'),
             ('flipped bits', 'swap-read:flip:every=50', 'came back from swap with a wrong checksum'))
    for engine in ENGINES:
        for tier in (WORK, 'zram'):
            where = f"{engine}, {'zram' if tier == 'zram' else 'file'}"
            opts = ['--engine', engine, '--swap', tier, '--', MEMCHECK]
            for name, what, line in reads:
                r = hurt(what, *opts, '-b', '-s', '1', '-t', '2', '24')
                m = re.search(rb'^6144 pages, 0 wrong, (\d+) lost, 0 strange', r.out)
                tap(r.status == 3 and m and int(m.group(1)) > 10 and one_line(r) and line in r.err,
                    f'{name} on reading back, {where}: SIGBUS at the right address, no wrong byte, one line', r)
            r = hurt('swap-read:eio:every=100', *opts, '-s', '1', '24')
            tap(r.status == 135 and one_line(r), f'and 135 for a program that does not catch it, {where}', r)
            r = hurt('swap-write:enospc:after=200', *opts, '24')
            tap(r.status == 137 and 'swap is full' in r.err and 'killed process' in r.err, f'a disk full after 200 pages, {where}', r)
            r = hurt('swap-write:eio', *opts, '24')
            tap(r.status == 137 and 'cannot write to swap, I/O error' in r.err, f'a disk that takes nothing, {where}', r)
            r = hurt('swap-write:eio:every=61', *opts, '-s', '1', '24')
            tap(r.status == 0 and r.out.startswith(b'6144 pages, 0 wrong') and one_line(r), f'a disk with bad sectors is lived with, {where}', r)


# Statuses of a program, or of softfault, that has met an error and has said so.
SANE = (1, 2, 125, 126, 127, 135, 137)


def part_calls():
    """The k-th host call fails, for k all over the start and a sample of the rest."""
    cat = [os.path.join(PROGS, 'memcheck-static'), '-s', '1', '4']
    want = execute(cat)
    jobs, lock, bad, right = [], threading.Lock(), [], [0]
    for engine in ENGINES:
        r = run('--verbose', '--engine', engine, '-m', '2M', '--', *cat, env={'SOFTFAULT_INJECT': 'host-call:fail:k=0'})
        m = re.search(r'(\d+) host calls were made', r.err)
        calls = int(m.group(1)) if m else 0
        tap(r.status == 0 and calls > 500, f'host calls are counted, {engine}', r)
        jobs += [(engine, k) for k in [*range(1, 420, 3), *range(421, calls, calls // 40 + 1)]]
    total = len(jobs)

    def worker():
        while True:
            with lock:
                if not jobs:
                    return
                engine, k = jobs.pop()
            r = run('--engine', engine, '-m', '2M', '--', *cat, env={'SOFTFAULT_INJECT': f'host-call:fail:k={k}'}, timeout=20)
            same = (r.status, r.out) == (want.status, want.out)
            told = r.status in SANE and r.err.strip() and r.err.count('\n') <= 2 and 'oops' not in r.err and b'wrong' not in r.out
            with lock:
                right[0] += same
                if not same and not told or 'bug of softfault' in r.err:
                    bad.append(f'{engine} k={k}: {r}')

    ts = [threading.Thread(target=worker) for _ in range(2)]
    [t.start() for t in ts]
    [t.join() for t in ts]
    tap(not bad, f'the k-th host call fails ({total} runs): right output or a clear error', '\n'.join(bad))
    tap(right[0] > total // 2, 'and most are lived with', right)


# ---------------------------------------------------------------- kills and job control

def part_kills():
    before = set(os.listdir(WORK))
    left, slow, statuses = [], [], []
    for i in range(12):
        engine, victim = ENGINES[i % 2], ('program', 'command')[i // 2 % 2]
        p = start('--engine', engine, '-m', '4M', '--swap', WORK, '--', MEMCHECK, '-t', '2', '-s', '99', '12')
        child = program_of(p.pid)
        time.sleep(0.013 * i)
        os.kill(child if victim == 'program' else p.pid, signal.SIGKILL)
        r = finish(p, 10)
        statuses.append(r.status == (137 if victim == 'program' else -9))
        if not gone(child):
            left.append(f'{victim} killed, the program {child} goes on')
            os.kill(child, signal.SIGKILL)
    tap(all(statuses), 'SIGKILL at any moment ends the run at once', statuses)
    tap(not left, 'and leaves no process behind', left)
    tap(set(os.listdir(WORK)) == before, 'and no file', set(os.listdir(WORK)) - before)
    p = start('-m', '4M', '--swap', 'named', '--', MEMCHECK, '-s', '99', '12')
    os.kill(program_of(p.pid), signal.SIGKILL)
    finish(p)
    tap(not os.path.exists(place('named')), 'a named swap file goes when the program is killed')
    p = start('-m', '4M', '--swap', 'named', '--', MEMCHECK, '-s', '99', '12')
    child = program_of(p.pid)
    time.sleep(0.1)
    p.kill()
    finish(p)
    gone(child)
    r = run('-m', '4M', '--swap', 'named', '--', MEMCHECK, '-s', '1', '8')
    tap(r.status == 0 and os.path.getsize(place('named')) == 0, 'one that a killed command has left is used again, and emptied', r)
    os.unlink(place('named'))
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        p = start('-m', '4M', '--', MEMCHECK, '-s', '999', '12', preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))
        child = program_of(p.pid)
        time.sleep(0.05)
        p.send_signal(sig)
        r = finish(p)
        tap(r.status == 128 + sig and gone(child) and not r.err, f'{sig.name} to the command: {128 + sig}', r)
    p = start('-m', '4M', '--', MEMCHECK, '-s', '3', '12')
    child = program_of(p.pid)
    for _ in range(5):
        p.send_signal(signal.SIGTSTP)
        time.sleep(0.03)
        p.send_signal(signal.SIGCONT)
        time.sleep(0.03)
    r = finish(p)
    tap(r.status == 0 and b' 0 wrong' in r.out, 'SIGTSTP and SIGCONT again and again: the result is right', r)


class Terminal:
    """An interactive shell on a terminal."""
    def __init__(self):
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.environ['PS1'] = '$ '
            os.chdir(WORK)
            os.execvp('bash', ['bash', '--norc', '--noprofile', '--noediting', '-i'])
        self.text = ''

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait(self, pattern, timeout=10):
        """Wait for the pattern in what came since the last match."""
        end = time.time() + timeout
        while not (m := re.search(pattern, self.text)):
            if time.time() > end or not select.select([self.fd], [], [], max(0, end - time.time()))[0]:
                return None
            try:
                self.text += os.read(self.fd, 4096).decode(errors='replace')
            except OSError:
                return None
        self.text = self.text[m.end():]
        return m

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def part_terminal():
    if not shutil.which('bash'):
        return skip('job control', 'no bash')
    t = Terminal()
    t.wait(r'\$ ')
    t.type(f'{SOFTFAULT} run -q -m 8M cat\n')
    time.sleep(0.3)
    t.type('echo this\n')
    tap(t.wait(r'this\r\n.*this\r\n'), 'a program reads from the terminal', repr(t.text))
    t.type('\x1a')
    tap(t.wait(r'Stopped.*\n'), '^Z stops the job', repr(t.text))
    t.type('fg\n')
    time.sleep(0.3)
    t.type('once more\n')
    tap(t.wait(r'once more\r\nonce more\r\n'), 'fg continues it', repr(t.text))
    t.type('\x03')
    time.sleep(0.2)
    t.type('echo "st=$?="\n')
    m = t.wait(r'st=(\d+)=')
    tap(m and m.group(1) == '130', '^C ends it: 130', m or repr(t.text))
    t.type(f'{SOFTFAULT} run -q -m 8M sleep 60 & sleep 0.3; kill -STOP $!; sleep 0.2; jobs; kill -CONT $!; kill $!; sleep 0.3; wait $!; echo "st=$?="\n')
    m = t.wait(r'st=(\d+)=')
    tap(m and m.group(1) == '143', 'a background job is stopped, continued and ended', m or repr(t.text))
    t.type(f'{SOFTFAULT} run -q sh -c "test -t 0 && test -t 1 && echo is a tty"\n')
    tap(t.wait(r'\nis a tty\r\n'), 'the program sees a terminal', repr(t.text))
    t.close()


# ---------------------------------------------------------------- what a program inherits

def compare(name, argv, **more):
    """The same natively and under softfault: status, stdout and stderr."""
    want = execute(argv, **more)
    got = execute([SOFTFAULT, 'run', '-q', '-m', '8M', *argv], **more)
    err = got.err.replace('softfault-um', argv[0])
    return tap((got.status, got.out, err) == (want.status, want.out, want.err), name, f'{got}\nnatively: {want}')


INHERITED = """
import os, resource, signal, sys
print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
print([s for s in range(1, 65) if s not in (32, 33) and signal.getsignal(s) == signal.SIG_IGN])
print(os.getcwd(), oct(os.umask(0)), os.nice(0), sorted(os.environ.items()), sys.argv)
print([resource.getrlimit(r) for r in (resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_DATA, resource.RLIMIT_STACK,
    resource.RLIMIT_CORE, resource.RLIMIT_AS, resource.RLIMIT_NPROC, resource.RLIMIT_MEMLOCK)])
print(os.getpgid(0) == os.getpgid(os.getppid()), os.getsid(0), os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0))
"""


def part_inherit():
    py = [sys.executable, '-S', '-E', '-c', INHERITED]
    os.makedirs(place('a directory/below'), exist_ok=True)
    blob = bytes(i * i >> 7 & 255 for i in range(1 << 20)) * 3
    compare('three megabytes through pipes, byte by byte', ['cat'], stdin=blob)
    compare('a descriptor passed on', ['sh', '-c', 'read a <&7; echo $a; echo more >&7; read b <&7; echo $?'], close_fds=False, preexec_fn=lambda: descriptor(7))
    for n, name in enumerate(('stdin', 'stdout', 'stderr')):
        compare(f'closed {name}', ['cat', '/dev/null', '-', 'nosuch'], preexec_fn=lambda: os.close(n))
    compare('all three closed', ['sh', '-c', 'read x; a=$?; echo y; b=$?; exit $a$b'], preexec_fn=lambda: [os.close(n) for n in range(3)])

    def odd():
        os.chdir(place('a directory/below'))
        os.umask(0o137)
        os.nice(3)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGUSR1, signal.SIGTERM, signal.SIGSEGV, 40])
        resource.setrlimit(resource.RLIMIT_CPU, (1000, 2000))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 4096))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 31))

    compare('directory, umask, nice, blocked and ignored signals, limits', py + ['an argument', ''], preexec_fn=odd)

    def limit(which, soft, hard=None):
        have = resource.getrlimit(which)[1]
        hard = have if hard is None else hard
        return lambda: resource.setrlimit(which, (soft, hard))

    compare('ulimit -v 1000000', py, preexec_fn=limit(resource.RLIMIT_AS, 1000000 << 10))
    compare('ulimit -Hv 1000000', py, preexec_fn=limit(resource.RLIMIT_AS, 1000000 << 10, 1000000 << 10))
    if resource.getrlimit(resource.RLIMIT_STACK)[1] == resource.RLIM_INFINITY:
        compare('ulimit -s unlimited', py, preexec_fn=limit(resource.RLIMIT_STACK, resource.RLIM_INFINITY))
    compare('ulimit -s 256', py, preexec_fn=limit(resource.RLIMIT_STACK, 256 << 10))
    r = run('true', preexec_fn=limit(resource.RLIMIT_NOFILE, 64, 64))
    expect('ulimit -n 64: says what it needs', r, 125, 'limit of open files is 64, the minimum is 128', 1)
    r = run('echo', 'well', preexec_fn=limit(resource.RLIMIT_NOFILE, 64))
    tap(r.status == 0 and r.out == b'well\n' and not r.err, 'ulimit -Sn 64: is raised', r)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    r = run('echo', 'well', preexec_fn=limit(resource.RLIMIT_NOFILE, min(hard, 1048576)))
    tap(r.status == 0 and r.out == b'well\n' and not r.err, f'ulimit -n {min(hard, 1048576)}', r)
    long = 'x' * 131000
    r = run('-m', '4M', 'sh', '-c', 'echo ${#1} ${#2} $#', 'sh', *[long] * 8)
    tap(r.status == 0 and r.out == b'131000 131000 8\n', 'eight arguments of 128 KiB', r)
    shutil.copy(MEMCHECK, place('a program, with (odd) name'))
    for path in ('./a program, with (odd) name', place('a program, with (odd) name')):
        r = run('-m', '4M', path, '-s', '1', '2')
        tap(r.status == 0 and b' 0 wrong' in r.out, 'a program with spaces in its name', r)


def descriptor(n):
    fd = os.open(place('passed'), os.O_RDWR | os.O_CREAT, 0o644)
    os.write(fd, b'through a descriptor\n')
    os.lseek(fd, 0, os.SEEK_SET)
    os.dup2(fd, n)
    os.close(fd)
    return n


# ---------------------------------------------------------------- the program's own view; a debugger's

PROC = r"""
import mmap, os, re, resource, sys
def maps():
    return [(int(a, 16), int(b, 16), p, n.strip()) for a, b, p, n in re.findall(r'^(\w+)-(\w+) (\S+) \S+ \S+ \S+(.*)$', open('/proc/self/maps').read(), re.M)]
def status(k): return int(re.search(rf'^{k}:\s+(\d+)', open('/proc/self/status').read(), re.M).group(1))
m0 = sum(b - a for a, b, p, n in maps())
big = mmap.mmap(-1, 48 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
m1 = maps()
assert sum(b - a for a, b, p, n in m1) - m0 in range(48 << 20, (48 << 20) + (1 << 20)), 'maps grow by what is mapped'
assert all(x[1] <= y[0] for x, y in zip(m1, m1[1:])), 'sorted and disjoint'
assert all(b <= 0x700000000000 for a, b, p, n in m1 if not n.startswith('[v')), 'nothing of ours in it'
assert {'[heap]', '[stack]'} <= {n for a, b, p, n in m1}
size = sum(b - a for a, b, p, n in m1 if n not in ('[vsyscall]',))
assert abs(size // 1024 - status('VmSize')) <= 64, (size // 1024, status('VmSize'))
statm = [int(x) for x in open('/proc/self/statm').read().split()]
assert abs(statm[0] * 4 - status('VmSize')) <= 64 and abs(statm[1] * 4 - status('VmRSS')) <= 512, statm
r0 = status('VmRSS')
for i in range(0, 6 << 20, 4096): big[i] = 1
r1 = status('VmRSS')
assert 6 * 1024 - 200 <= r1 - r0 <= 6 * 1024 + 512, (r0, r1)
smaps = open('/proc/self/smaps').read()
rss = sum(int(x) for x in re.findall(r'^Rss:\s+(\d+)', smaps, re.M))
assert abs(rss - status('VmRSS')) <= 512, (rss, status('VmRSS'))
assert len(re.findall(r'^Size:', smaps, re.M)) == len([1 for x in maps()]) or abs(len(re.findall(r'^Size:', smaps, re.M)) - len(maps())) <= 2
assert abs(sum(int(x) for x in re.findall(r'^Size:\s+(\d+)', smaps, re.M)) - status('VmSize')) <= 128
stat = open('/proc/self/stat').read().rsplit(')', 1)[1].split()
assert abs(int(stat[20]) // 1024 - status('VmSize')) <= 64 and int(stat[7]) > 0, stat
assert os.readlink('/proc/self/exe') == os.path.realpath(sys.executable), os.readlink('/proc/self/exe')
assert open('/proc/self/exe', 'rb').read(4) == b'\x7fELF'
args = open('/proc/self/cmdline', 'rb').read().split(b'\0')
assert args[0] == sys.executable.encode() and args[-2] == b'last argument', args
env = dict(x.split(b'=', 1) for x in open('/proc/self/environ', 'rb').read().split(b'\0') if b'=' in x)
assert env[b'SF_MARK'] == b'here it is', env
aux = open('/proc/self/auxv', 'rb').read()
aux = dict((int.from_bytes(aux[i:i + 8], 'little'), int.from_bytes(aux[i + 8:i + 16], 'little')) for i in range(0, len(aux), 16))
inside = lambda v: any(a <= v < b for a, b, p, n in m1)
assert aux[6] == 4096 and inside(aux[3]) and inside(aux[9]) and inside(aux[25]) and inside(aux[31]), aux
assert open(f'/proc/{os.getpid()}/comm').read().strip() == os.path.basename(sys.executable)[:15], open('/proc/self/comm').read()
assert sorted(os.listdir('/proc/self/fd')) == ['0', '1', '2', '3'], os.listdir('/proc/self/fd')
print('all as it should be')
use = resource.getrusage(resource.RUSAGE_SELF)
stat = open('/proc/self/stat').read().rsplit(')', 1)[1].split()
assert 0 <= int(stat[7]) - use.ru_minflt < 50 and 0 <= int(stat[9]) - use.ru_majflt < 5, (stat, use)
assert use.ru_minflt > 90 + (6 << 20 >> 16), use
print('counted alike')
"""


def part_proc():
    for engine in ENGINES:
        for bound in ([], ['-m', '16M']):
            r = run('--engine', engine, *bound, sys.executable, '-S', '-c', PROC, 'last argument', env={'SF_MARK': 'here it is'})
            tap(b'all as it should be\n' in r.out, f"/proc/self tells the program's own story, {engine}{' at 16M' if bound else ''}", r)
            tap(b'counted alike\n' in r.out, f'faults as getrusage and /proc/self/stat count them, {engine}', r)


def part_debugger():
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.restype, libc.ptrace.argtypes = ctypes.c_long, [ctypes.c_long] * 4
    for engine in ENGINES:
        p = start('--engine', engine, '-m', '4M', '--', MEMCHECK, '-s', '6', '12')
        child = program_of(p.pid)
        good = 0
        for _ in range(5):
            time.sleep(0.02)
            if libc.ptrace(0x4206, child, 0, 0):  # PTRACE_SEIZE
                break
            libc.ptrace(0x4207, child, 0, 0)  # PTRACE_INTERRUPT
            while (s := os.waitpid(child, 0)[1]) >> 16 != 128 and s & 0xff == 0x7f:  # faults and system calls come by signals
                libc.ptrace(7, child, 0, s >> 8 & 0xff)  # PTRACE_CONT
            regs = ctypes.create_string_buffer(27 * 8)
            good += libc.ptrace(12, child, 0, ctypes.addressof(regs)) == 0
            libc.ptrace(17, child, 0, 0)  # PTRACE_DETACH
        if not good:
            finish(p)
            skip(f'a debugger attaches, {engine}', os.strerror(ctypes.get_errno()))
            continue
        r = finish(p, 30)
        tap(good == 5 and r.status == 0 and b' 0 wrong' in r.out, f'a debugger attaches and lets go again and again, {engine}', f'{good}: {r}')


# ---------------------------------------------------------------- trace and report

def trace_lines(path):
    r = execute([SOFTFAULT, 'trace', path])
    return r, [x for x in r.out.decode().splitlines() if not x.startswith('#')]


KINDS = ('minor', 'major', 'soft', 'copy_on_write', 'protection', 'illegal', 'spurious')
KEYS = {
    '': 'schema_version softfault_version command program exit engine engine_why trap policy time faults pages memory events '
        'processes_started processes top_areas top_code',
    'exit': 'status signal signal_name killed_by oops',
    'time': 'start_realtime_ns wall_ns user_ns system_ns faults_ns handling_ns traps_ns trap_ns',
    'faults': 'total kernel_mode fixups ' + ' '.join(KINDS),
    'pages': 'filled read_from_files swapped_in swapped_out dropped hidden read_ahead read_ahead_used cow_reused cow_copied',
    'memory': 'page_size bound_bytes peak_resident_bytes peak_swapped_bytes peak_store_bytes kernel_fixed_bytes kernel_tables_bytes',
    'events': 'syscalls patched_sites patched_calls signals peak_areas peak_host_mappings oom_kills swap_errors checksum_errors',
}


def check_json(j, bound):
    assert j['schema_version'] == 1
    for where, keys in KEYS.items():
        lack = set(keys.split()) - set(j[where] if where else j)
        assert not lack, f'{where} lacks {lack}'
    f, m, p = j['faults'], j['memory'], j['pages']
    assert f['total'] == sum(f[k]['count'] for k in KINDS) > 0, f
    for k in KINDS:
        assert set(f[k]) >= {'count', 'total_ns', 'mean_ns', 'p50_ns', 'p99_ns'}, f[k]
        if f[k]['count']:
            assert f[k]['p50_ns'] <= f[k]['p99_ns'] and abs(f[k]['mean_ns'] * f[k]['count'] - f[k]['total_ns']) <= f[k]['count'], f[k]
    assert m['bound_bytes'] == bound and 0 < m['peak_resident_bytes'] <= bound, m
    assert p['swapped_out'] * 4096 >= m['peak_swapped_bytes'] - m['peak_store_bytes'] > 0 or m['peak_store_bytes'], (p, m)
    assert p['swapped_in'] > 0 and p['filled'] > 0 and p['read_from_files'] > 0, p
    assert p['read_ahead_used'] <= p['read_ahead'], p
    assert j['time']['faults_ns'] == j['time']['handling_ns'] + j['time']['traps_ns'] > 0
    assert j['exit'] == {'status': 0, 'signal': None, 'signal_name': None, 'killed_by': None, 'oops': False}, j['exit']
    assert len(j['top_areas']) <= 5 and all(a['faults'] >= a['major'] for a in j['top_areas'])


def whole_tree():
    """Each process has its share of the counts, in the report and in the trace."""
    for engine in ENGINES:
        r = run('--engine', engine, '-m', '8M', '--trace', 't.bin', '--stats=json', '-o', 'j.json', '--', 'sh', '-c',
                '(:; exit 3); ls / | wc -l; echo $$')
        with open(place('j.json')) as f:
            j = json.load(f)
        procs, lines = j['processes'], trace_lines(place('t.bin'))[1]
        wrong = [k for k in KINDS if sum(p['faults'][k] for p in procs) != j['faults'][k]['count']]
        names = sorted(p['name'] for p in procs)
        first = procs[0] if procs else {}
        tap(r.status == 0 and not wrong and j['processes_started'] == len(procs) == 4 and names == ['ls', 'sh', 'sh', 'wc'], f'each process is counted, {engine}',
            f'{wrong} {procs} {r}')
        tap(first.get('pid') == int(r.out.split()[-1]) and all(p['parent'] == first['pid'] and 0 < p['start_ns'] <= p['end_ns'] for p in procs[1:]) and
            all(0 < p['peak_resident_bytes'] <= 8 << 20 for p in procs), f'with its parent and its times, {engine}', procs)
        got = {p['pid']: sum(int(x.split()[2]) == p['pid'] for x in lines) for p in procs}
        tap(got == {p['pid']: sum(p['faults'].values()) for p in procs}, f'and each fault in the trace has its process, {engine}', got)
        some = execute([SOFTFAULT, 'trace', '--pid', str(first['pid']), 't.bin']).out.decode().splitlines()
        tap(sum(not x.startswith('#') for x in some) == got[first['pid']], f'trace --pid shows that one alone, {engine}', len(some))


def part_report():
    for engine in ENGINES:
        for swap in (WORK, 'zram'):
            args = ['--engine', engine, '-m', '4M', '--swap', swap, '--trace', 't.bin', '--stats=json', '-o', 'j.json', '--', MEMCHECK, '-t', '3', '-s', '1', '8']
            r = run(*args)
            try:
                with open(place('j.json')) as f:
                    j = json.load(f)
                check_json(j, 4 << 20)
                tap(r.status == 0, f"the report's numbers agree, {engine}, {'zram' if swap == 'zram' else 'file'}", r)
            except (AssertionError, KeyError, ValueError) as x:
                tap(False, f"the report's numbers agree, {engine}, {swap}", repr(x))
                continue
            r, lines = trace_lines(place('t.bin'))
            seqs = [int(x.split()[0]) for x in lines]
            tap(len(lines) == j['faults']['total'] and seqs == list(range(1, len(seqs) + 1)), f'every fault is in the trace, {engine}',
                f"{len(lines)} lines, {j['faults']['total']} faults\n{r.err}")
            by_kind = {k: sum(x.split()[7].replace('-', '_') == k for x in lines) for k in KINDS}
            tap(all(by_kind[k] == j['faults'][k]['count'] for k in KINDS), 'kind by kind', f"{by_kind}\n{j['faults']}")
    whole_tree()
    run('--engine', ENGINES[-1], '-m', '4M', '--trace', 't.bin', '--', MEMCHECK, '-t', '3', '-s', '1', '8')
    r, lines = trace_lines(place('t.bin'))
    with open(place('t.bin'), 'rb') as f:
        whole = f.read()
    wrong = []
    for n in [*range(0, 40), *range(40, len(lines), len(lines) // 40 + 1)]:
        for cut in (0, 1, 33, 63):
            with open(place('cut.bin'), 'wb') as f:
                f.write(whole[:4096 + 64 * n + cut])
            r, some = trace_lines(place('cut.bin'))
            if r.status or [x.split()[:11] for x in some] != [x.split()[:11] for x in lines[:n]]:
                wrong.append((n, cut, r.status, len(some), r.err))
    tap(not wrong, 'a trace cut at any record, or within one, gives all whole records', wrong[:5])
    for cut in (0, 7, 8, 40, 300, 4095):
        with open(place('cut.bin'), 'wb') as f:
            f.write(whole[:cut])
        r, some = trace_lines(place('cut.bin'))
        wrong += [(cut, r.status, r.err)] if some or (r.status and not one_line(r)) or r.status not in (0, 125) else []
    tap(not wrong, 'nor does a cut within the head hurt', wrong)
    for victim in ('program', 'command'):
        p = start('-m', '4M', '--trace', 'k.bin', '--', MEMCHECK, '-s', '99', '12')
        child = program_of(p.pid)
        time.sleep(0.3)
        os.kill(child if victim == 'program' else p.pid, signal.SIGKILL)
        finish(p)
        gone(child)
        r, some = trace_lines(place('k.bin'))
        seqs = [int(x.split()[0]) for x in some]
        tap(r.status == 0 and len(seqs) > 1000 and seqs == sorted(set(seqs)), f'a trace whose {victim} was killed can be read', f'{len(seqs)}: {r.err}')
    if os.path.exists('/dev/full'):
        r = execute([SOFTFAULT, 'run', '-o', '/dev/full', 'true'])
        expect('-o on a full device', r, 125, "cannot write '/dev/full': No space left", 1)
        r = execute([SOFTFAULT, 'run', '-o', '/dev/full', 'false'])
        expect("but the program's own failure counts more", r, 1, 'cannot write')


# ---------------------------------------------------------------- the bound, from outside

def pss(pid):
    try:
        with open(f'/proc/{pid}/smaps_rollup') as f:
            return int(re.search(r'^Pss:\s+(\d+)', f.read(), re.M).group(1)) << 10
    except (OSError, AttributeError):
        return 0


def part_bound():
    most, bound = 0, 8 << 20
    for engine in ENGINES:
        run('--engine', engine, '--', MEMCHECK, '-w', '-f', place('data'), '-s', '0', '64')
        for name, args in (('64 MB of memory', ['64']), ('64 MB of memory, four threads', ['-t', '4', '64']),
                           ('a private mapping of 64 MB', ['-f', 'data', '64']), ('a shared mapping of 64 MB', ['-S', '-f', 'data', '-t', '2', '64'])):
            for swap in (WORK, 'zram') if name == '64 MB of memory' else (WORK,):
                p = start('--engine', engine, '-m', '8M', '--swap', swap, '--', MEMCHECK, '-s', '1', *args)
                child, peak, n = program_of(p.pid), 0, 0
                while p.poll() is None:
                    peak, n = max(peak, pss(child)), n + 1
                    time.sleep(0.003)
                r = finish(p)
                most = max(most, peak - bound)
                tap(r.status == 0 and n > 5 and 0 < peak <= bound + OVERHEAD, f"{name} at 8M, {engine}{', zram' if swap == 'zram' else ''}: Pss stays within",
                    f'most {peak >> 10} KiB in {n} looks; {r}')
    print(f'# at most {most >> 10} KiB over the bound')


# ---------------------------------------------------------------- out of memory, narrow limits, a poor host

LIMITED = """
import mmap, resource, sys
which = getattr(resource, sys.argv[1])
now = int(open('/proc/self/statm').read().split()[0 if which == resource.RLIMIT_AS else 5]) * 4096
resource.setrlimit(which, (now + (32 << 20), resource.RLIM_INFINITY))
got = []
try:
    while len(got) < 64: got.append(mmap.mmap(-1, 4 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
except OSError as e:
    print(e.errno, 5 <= len(got) <= 8)
"""


def part_limits():
    for engine in ENGINES:
        r = run('--engine', engine, '-m', '4M', '--', MEMCHECK, '-l', '64')
        tap(r.status == 2 and 'Cannot allocate memory' in r.err, f'mlock beyond the bound: ENOMEM, {engine}', r)
        blob = place('blob')
        with open(blob, 'wb') as f:
            f.write(os.urandom(1 << 20) * 24)
        r = run('--engine', engine, '-m', '4M', 'dd', f'if={blob}', 'of=copy', 'bs=24M', 'iflag=fullblock', 'status=none')
        same = execute(['cmp', blob, 'copy'])
        tap(r.status == 0 and same.status == 0, f'one read and one write larger than the bound, {engine}', f'{r}{same}')
        for which in ('RLIMIT_AS', 'RLIMIT_DATA'):
            r = run('--engine', engine, '-m', '16M', sys.executable, '-S', '-c', LIMITED, which)
            tap(r.out == b'12 True\n', f'{which}: ENOMEM for the program, {engine}', r)
    big = ['-m', '8M', sys.executable, '-S', '-c', 'a = bytearray(200 << 20)']
    r = run(*big, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (150 << 20, resource.getrlimit(resource.RLIMIT_AS)[1])))
    tap(r.status == 1 and 'MemoryError' in r.err, 'a soft RLIMIT_AS from outside is the program\'s, not ours', r)
    r = run('--swap-size', '64G', *big, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (50 << 20, 50 << 20)))
    expect('a hard one that leaves no room for tables', r, 125, 'ulimit -Hv', 1)


def engine_of(what, *args, stat='engine'):
    r = execute([DENY, what, SOFTFAULT, 'run', '--stats=json', '-o', 'd.json', *args, '--', MEMCHECK, '-s', '1', '4'])
    try:
        with open(place('d.json')) as f:
            return r, json.load(f)
    except (OSError, ValueError):
        return r, {}


def part_host():
    for err, word in ((38, 'built without|not implemented'), (1, 'forbids|not permitted')):
        r, j = engine_of(f'uffd={err}', '-m', '2M')
        tap(r.status == 0 and j.get('engine') == 'segv' and 'userfaultfd' in (j.get('engine_why') or ''),
            f'userfaultfd answers {os.strerror(err)}: engine segv, and why', f"{r} {j.get('engine_why')}")
        r = execute([DENY, f'uffd={err}', SOFTFAULT, 'doctor'])
        tap(r.status == 0 and re.search(rf'userfaultfd.*({word})', r.out.decode(), re.I | re.S), 'doctor says so', r.out.decode())
        r = execute([DENY, f'uffd={err}', SOFTFAULT, 'run', '-q', '--engine', 'uffd', 'true'])
        expect('--engine uffd says so', r, 125, 'userfaultfd', 1)
    r, j = engine_of('sud', '-m', '2M')
    tap(r.status == 0 and j.get('trap') == 'seccomp', 'no syscall user dispatch: seccomp', f"{r} {j.get('trap')}")
    r = execute([DENY, 'sud', SOFTFAULT, 'doctor'])
    tap(b'dispatch does not work' in r.out and r.status == 0, 'doctor says so', r.out.decode())
    r, j = engine_of('sud,uffd', '-m', '2M')
    tap(r.status == 0 and (j.get('trap'), j.get('engine')) == ('seccomp', 'segv'), 'neither: both ways round', r)
    r = execute([DENY, 'sud,seccomp', SOFTFAULT, 'run', '-q', 'true'])
    expect('nothing can trap system calls', r, 125, 'neither by syscall user dispatch nor by seccomp', 1)
    # a file that can be executed but not read makes a process whose /proc/self/mem is closed to it
    os.mkdir(place('unreadable'))
    for f in ('softfault', 'softfault-um'):
        shutil.copy(os.path.join(HERE, f), place('unreadable'))
    os.chmod(place('unreadable/softfault-um'), 0o111)
    if os.geteuid():
        closed = place('unreadable/softfault')
        r = execute([closed, 'run', '-q', '--engine', 'segv', 'true'])
        expect('no /proc/self/mem: --engine segv says so', r, 125, '/proc/self/mem', 1)
        r = execute([DENY, 'uffd', closed, 'run', '-q', 'true'])
        expect('neither engine: says what is missing', r, 125, 'no engine works.*(userfaultfd|/proc/self/mem)', 1)
        r = execute([closed, 'run', '-q', '-m', '2M', MEMCHECK, '-s', '1', '4'])
        tap(r.status == 0, 'auto takes uffd', r)
    if execute(['unshare', '-Urm', 'mount', '-t', 'tmpfs', 'none', '/proc']).status == 0:
        cmd = f'mount -t tmpfs none /proc; exec {SOFTFAULT} run -q -m 2M {MEMCHECK} -s 1 4'
        r = execute(['unshare', '-Urm', 'sh', '-c', cmd])
        tap(r.status == 0 and b' 0 wrong' in r.out or r.status == 125 and one_line(r) and '/proc' in r.err, 'no /proc: works or says so', r)
    else:
        skip('no /proc: works or says so', 'no user namespaces here')


def is_stopped(pid):
    with open(f'/proc/{pid}/stat') as f:
        return f.read().rsplit(')', 1)[1].split()[0] == 'T'


def part_stopped():
    for engine in ENGINES:
        p = start('--engine', engine, '-m', '4M', '--', 'sleep', '60')
        child, end = program_of(p.pid), time.time() + 10
        os.kill(child, signal.SIGSTOP)
        while not is_stopped(p.pid) and time.time() < end:
            time.sleep(0.01)
        os.kill(child, signal.SIGCONT)
        os.kill(child, signal.SIGKILL)
        gone(child)
        os.kill(p.pid, signal.SIGCONT)
        r = finish(p)
        tap(r.status == 137, f'a program that ended while the command was stopped with it has a status, {engine}', r)


# ---------------------------------------------------------------- our own end

def part_oops():
    """A program that spoils the kernel's data (see CAVEATS): what a bug of ours would look like."""
    m = re.search(r'^(\w+) \w um$', execute(['nm', os.path.join(HERE, 'softfault-um')]).out.decode(), re.M) if shutil.which('nm') else None
    if not m:
        return skip('an oops tells where', 'no nm, or no symbols')
    spoil = f'import ctypes; ctypes.c_uint64.from_address({int(m.group(1), 16) + 8}).value = 16; bytearray(9 << 20)'
    for engine in ENGINES:
        p = start('--engine', engine, '-m', '16M', '--', MEMCHECK, '-s', '1', '32')
        r = run('--engine', engine, '-m', '16M', sys.executable, '-S', '-c', spoil, timeout=20)
        ok = r.status == 125 and re.search(r'^softfault: oops: .*\(pid \d+, thread \d+', r.err, re.M) and 'bug of softfault' in r.err
        ok = ok and re.search(r'rip [0-9a-f]{16} rsp [0-9a-f]{16}', r.err) and re.search(r'#1 +78000[0-9a-f]+', r.err) and 'cr2' in r.err
        tap(ok, f'an oops tells registers, address and trace, {engine}', r)
        other = finish(p)
        tap(other.status == 0, f'and others live, {engine}', other)


PARTS = {k[5:]: v for k, v in list(globals().items()) if k.startswith('part_')}


def main():
    os.environ.pop('SOFTFAULT_INJECT', None)
    os.environ.update(TMPDIR=WORK, LC_ALL='C')
    os.chdir(WORK)
    try:
        for name, part in PARTS.items():
            if len(sys.argv) < 3 or name in sys.argv[2:]:
                t = time.time()
                try:
                    part()
                except Exception as x:  # a test that cannot go on has failed
                    tap(False, f'{name} runs to its end', repr(x))
                print(f'# {name}: {time.time() - t:.1f} s', flush=True)
    finally:
        subprocess.run(['chmod', '-R', 'u+rwX', WORK])
        shutil.rmtree(WORK, ignore_errors=True)
    print(f'1..{nr}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
