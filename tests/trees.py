#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trees.py - servers, builds and shells as whole process trees: output and exit status as natively, nobody left behind

    tests/trees.py BUILD_DIR [--engine uffd|segv] [--only NAME[/NAME]]

A selection of what matrix.py runs, with no limit and at half of the tree's own peak.  Prints TAP."""
import argparse
import os
import shutil
import sys
import tempfile

import matrix

ROWS = ['nginx, 2 workers, wrk', 'redis, snapshot and log rewrite', 'git, 2,000 files', 'make -j2, 100 files', 'sqlite3, 4 processes, WAL',
        'bash', 'dash', 'busybox ash', 'bash, interactive jobs', 'dash, interactive jobs', 'python3 subprocess', 'python3 multiprocessing', 'perl fork',
        'xargs -P', 'find -exec', 'tar | gzip', 'stress-ng --fork', 'stress-ng --vfork', 'stress-ng --shm-sysv', 'stress-ng --mremap', 'stress-ng --clone']


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('build')
    ap.add_argument('--engine', default='uffd')
    ap.add_argument('--only', default='')
    a = ap.parse_args()
    work = tempfile.mkdtemp(prefix='sf-trees.')
    matrix.be_the_reaper()
    matrix.make_inputs(work)
    m, n, failed = matrix.Matrix(a.build, a.engine, work), 0, 0
    wanted = a.only.split('/') if a.only else ROWS
    try:
        for name, argv in matrix.rows():
            if name not in wanted:
                continue
            r = m.row(argv)
            for ok, where, why in ((r['equal'], 'no limit', r['err']), (r['equal_half'], 'half its peak', r['err_half']),
                                   (not r['left'], 'nobody left behind', ' '.join(r['left']))):
                n += 1
                failed += not ok
                print(f"{'ok' if ok else 'not ok'} {n} - {name}, {where} ({a.engine})", flush=True)
                if not ok:
                    print('# ' + '\n# '.join(why.strip().splitlines()[-8:]))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f'1..{n}')
    return 1 if failed or not n else 0


if __name__ == '__main__':
    sys.exit(main())
