#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""rows.py - every row of docs/fault-path.md names tests, and every test it names exists.  Prints TAP."""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# The suite's tests are spread over files; main() lists them all.
ALSO = {'conformance.c': ('conf_model.c', 'conf_port.c')}


def source(name):
    text = ''
    for f in (name, *ALSO.get(name, ())):
        with open(os.path.join(HERE, f)) as file:
            text += file.read()
    return text


def missing(ref):
    name, test = ref.split(':', 1)
    try:
        return test not in source(name)
    except OSError:
        return True


def main():
    with open(os.path.join(HERE, '..', 'docs', 'fault-path.md')) as f:
        text = f.read()
    rows = dict(re.findall(r'^\| (\d+) \| .* \| (.*) \|$', text, re.M))
    failed = 0
    for n in range(1, 36):
        refs = re.findall(r'`([^`:]+\.(?:c|py|sh):[^`]+)`', rows.get(str(n), ''))
        bad = [r for r in refs if missing(r)]
        ok = refs and not bad
        failed += not ok
        print(f"{'ok' if ok else 'not ok'} {n} - row {n} is proven by {len(refs)} tests")
        for r in bad:
            print(f'# there is no {r}')
    print('1..35')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
