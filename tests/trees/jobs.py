#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""jobs.py SHELL... - job control in an interactive shell on a terminal of its own: stop, bg, fg, interrupt, window size"""
import os
import pty
import re
import select
import sys
import time

out = b''


def until(fd, word, seconds=40):
    global out
    end = time.monotonic() + seconds
    while word not in out:
        if time.monotonic() > end or not select.select([fd], [], [], 1)[0] and time.monotonic() > end:
            print('never came:', word.decode(), repr(out[-300:]))
            sys.exit(1)
        if select.select([fd], [], [], 0.05)[0]:
            try:
                out += os.read(fd, 4096)
            except OSError:
                return ''
    text, _, out = out.partition(word)
    return text.decode()


pid, fd = pty.fork()
if not pid:
    os.environ.update(PS1='PROMPT', PS2='', ENV='', TERM='dumb')
    os.execvp(sys.argv[1], sys.argv[1:])


def say(line):
    os.write(fd, line)
    return until(fd, b'PROMPT')


until(fd, b'PROMPT')
say(b'stty -echo; set -m\n')
say(b'unset HISTFILE\n')
print(say(b'tty | grep -c /dev/pts; echo $-| grep -c m\n').split())
os.write(fd, b'sh -c "echo begun; exec sleep 300"\n')
until(fd, b'begun')
time.sleep(0.3)
print('stopped' in say(b'\x1a').lower())
print('sleep' in say(b'jobs\n'))
say(b'bg\n')
print('running' in say(b'jobs\n').lower())
os.write(fd, b'fg\n')
time.sleep(0.5)
say(b'\x03')
print('status', re.findall(r'=(\d+)=', say(b'echo =$?=\n')))
print('jobs left', len(say(b'jobs\n').split()))
os.write(fd, b'(echo begun; cat) | sort\n')
time.sleep(0.5)
os.write(fd, b'b\na\n\x04')
print(until(fd, b'PROMPT').split())
print('over' in say(b'sleep 1 & wait; echo over\n'))
os.write(fd, b'exit 7\n')
print('end', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
