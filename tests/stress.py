#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""stress.py - process trees under random load, random kills and floods of signals

    tests/stress.py DIRECTORY [SECONDS [ENGINE]]     DIRECTORY holds softfault, softfault-um and tests/; prints TAP

SECONDS is for each of the cases (default 4, about two minutes in all); ten minutes of each: tests/stress.py build 600.  A tree of processes fork, execute, map,
thread and kill each other in a quarter of what they want, each checking its own memory, while somebody outside kills one at random
a hundred times a second.  The bound is so small that frames leaked by each of the dead would fill it in a long run, and so would
slots the swap.  Twice a second everybody is stopped for a moment, and the sum of what they have in memory (Pss) must be within the bound and
what is known of our own memory.  Afterwards nobody is left, and the first process has no more descriptors than at the beginning."""
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.abspath(sys.argv[1])
SECONDS = int(sys.argv[2]) if len(sys.argv) > 2 else 4
ENGINES = sys.argv[3:4] or ['uffd', 'segv']
SOFTFAULT = os.path.join(HERE, 'softfault')
PROGS = next(d for d in (os.path.join(HERE, 'tests'), os.path.join(HERE, 'tests', 'progs')) if os.path.exists(os.path.join(d, 'tree_stress')))
WORK = tempfile.mkdtemp(prefix='sf-stress.')
MARK = f'SF_STRESS={os.path.basename(WORK)}'
nr = failed = 0


def tap(ok, name, detail=''):
    global nr, failed
    nr += 1
    failed += not ok
    print(f"{'ok' if ok else 'not ok'} {nr} - {name}", flush=True)
    for line in str(detail).strip().splitlines()[-12:] if not ok else []:
        print(f'# {line}', flush=True)


def read(path):
    try:
        with open(path, 'rb') as f:
            return f.read()
    except OSError:
        return b''


def ours(command):
    """Processes of the run that carry our mark: the first one first."""
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir('/proc'))):
        if pid != command and read(f'/proc/{pid}/comm').strip() and MARK.encode() in read(f'/proc/{pid}/environ'):
            found.append(pid)
    return found


def first_of(command):
    kids = read(f'/proc/{command}/task/{command}/children').split()
    return int(kids[0]) if kids else 0


def descriptors(pid):
    try:
        return len(os.listdir(f'/proc/{pid}/fd'))
    except OSError:
        return 0


def pss(pid):
    m = re.search(rb'^Pss:\s+(\d+)', read(f'/proc/{pid}/smaps_rollup'), re.M)
    return int(m.group(1)) << 10 if m else 0


def each_is(pids, sig):
    for pid in pids:
        try:
            os.kill(pid, sig)
        except OSError:
            pass


OWN = 640 << 10  # of each process; one alone has 1 MiB and a 64th of the bound (softfault-run(1), LIMITS), but our text and much of the tables are shared


class Watch(threading.Thread):
    """The sum of Pss of all, as exact as it can be had: while none of them runs."""

    def __init__(self, command, bound):
        super().__init__()
        self.command, self.bound, self.stop = command, bound, False
        self.looks, self.most, self.above, self.people = 0, 0, -1 << 40, 0

    def look(self):
        stopped = set()
        each_is([self.command], signal.SIGSTOP)  # which would stop with its child otherwise, and at its own time
        while True:
            more = set(ours(self.command)) - stopped
            if not more:
                break
            each_is(more, signal.SIGSTOP)
            stopped |= more
        total = sum(map(pss, stopped))
        each_is(stopped, signal.SIGCONT)
        each_is([self.command], signal.SIGCONT)
        own = len(stopped) * OWN
        if total:
            self.looks += 1
            self.most, self.people = max(self.most, total), max(self.people, len(stopped))
            self.above = max(self.above, total - self.bound - own)

    def run(self):
        while not self.stop:
            time.sleep(0.5)
            self.look()


class Killer(threading.Thread):
    """Kills anybody but the command and the first process; looks at the first one's descriptors."""

    def __init__(self, command):
        super().__init__()
        self.command, self.stop, self.killed, self.fds = command, False, 0, []

    def run(self):
        first = 0
        while not self.stop:
            first = first or first_of(self.command)  # once: while children come and go the list may miss one
            victims = [p for p in ours(self.command) if first and p != first]
            if first and len(self.fds) < 100000:
                self.fds.append(descriptors(first))
            for pid in random.sample(victims, min(3, len(victims))):
                try:
                    os.kill(pid, signal.SIGKILL)
                    self.killed += 1
                except OSError:
                    pass
            time.sleep(0.02)


def start(options, *argv):
    env = dict(os.environ, TMPDIR=WORK)
    key, value = MARK.split('=')
    env[key] = value
    return subprocess.Popen([SOFTFAULT, 'run', '-q', *options, '--', *argv], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, start_new_session=True)


def finish(p, seconds):
    try:
        out, err = p.communicate(timeout=seconds)
        return p.returncode, out.decode('utf-8', 'replace'), err.decode('utf-8', 'replace')
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        out, err = p.communicate()
        return 'hangs', out.decode('utf-8', 'replace'), err.decode('utf-8', 'replace')


def nobody_left():
    for _ in range(100):
        left = ours(0)
        if not left:
            return True
        time.sleep(0.02)
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    return False


# What a killed vfork child may take along is its parent, with this line.
SHARED = 'memory that it shared with its parent'


def tree(engine, swap, kill):
    mb = 24 if swap == 'zram' else 12
    options = ['--engine', engine, '-m', f'{mb}M', '--swap', 'zram,' + WORK if swap == 'zram' else WORK,
               '--swap-size', '256M']
    p = start(options, os.path.join(PROGS, 'tree_stress'), str(SECONDS), '200', str(random.randrange(1 << 30)))
    killer, watch = Killer(p.pid), Watch(p.pid, mb << 20)
    watch.start()
    if kill:
        killer.start()
    status, out, err = finish(p, SECONDS * 4 + 60)
    killer.stop = watch.stop = True
    watch.join()
    if kill:
        killer.join()
    whole, err = err, '\n'.join(line for line in err.splitlines() if SHARED not in line)
    alone = nobody_left()
    grown = killer.fds and killer.fds[-1] > killer.fds[len(killer.fds) // 4] + 4
    tap(status == 0 and out == 'done\n' and not err and alone and not grown,
        f'tree {engine} {swap}' + (', killed at random' if kill else ''),
        f'status {status}, killed {killer.killed}, {"" if alone else "somebody left, "}descriptors {killer.fds[-1:]}\n{out[-300:]}{whole[-600:]}')
    tap(watch.looks and watch.above <= 0, f'and never more than the bound in memory, seen from outside, {engine} {swap}',
        f'{watch.looks} looks, {watch.above >> 10} KiB too much')
    print(f'# killed {killer.killed}; {watch.looks} looks at up to {watch.people} processes: at most {watch.most >> 10} KiB with a bound of {mb << 10} KiB', flush=True)


def signals(engine, *options):
    """Two pairs in one tree, each thousands of numbered signals while the receivers fault."""
    n = min(3000 * SECONDS // 4, 100000)
    storm = os.path.join(PROGS, 'sig_storm')
    for i in range(2):
        if os.path.exists(f'{WORK}/pid{i}'):
            os.unlink(f'{WORK}/pid{i}')
    pair = f'"{storm}" receive %s {n} & "{storm}" send %s {n} & '
    script = ''.join(pair % (f'{WORK}/pid{i}', f'{WORK}/pid{i}') for i in range(2)) + 'wait'
    status, out, err = finish(start(['--engine', engine, '-m', '6M', *options], 'sh', '-c', script), 60 + SECONDS * 4)
    tap(status == 0 and out.splitlines() == [f'got {n}, disorder 0, last {n}'] * 2 and nobody_left(), ' '.join([f'{n} signals each to two', engine, *options]),
        f'status {status}\n{out}{err}')


def main():
    random.seed(os.environ.get('SEED', str(time.time_ns())))
    for engine in ENGINES:
        for swap in ('file', 'zram'):
            tree(engine, swap, False)
            tree(engine, swap, True)
        for options in ((), ('--patch-after', '1'), ('--no-patch', '--trap', 'seccomp')):
            signals(engine, *options)
    shutil.rmtree(WORK, ignore_errors=True)
    print(f'1..{nr}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
