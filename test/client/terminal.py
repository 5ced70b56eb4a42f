"""Runs a program on a pseudo-terminal of its own.

terminal.py COLUMNS ROWS PROGRAM ARGUMENT...

What comes on standard input is typed, what the terminal shows goes to standard output, and a line `COLUMNS ROWS` on
descriptor 3 makes it another size; the end of descriptor 3 takes it away. Ends with the program's code, or 128 and the number of the signal that ended it.
"""

import fcntl
import os
import pty
import select
import struct
import sys
import termios


def resize(descriptor, columns, rows):
    size = struct.pack("HHHH", int(rows), int(columns), 0, 0)
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, size)


child, terminal = pty.fork()
if child == 0:
    resize(0, sys.argv[1], sys.argv[2])
    os.close(3)
    os.execvp(sys.argv[3], sys.argv[3:])

sources = [0, 3, terminal]
while True:
    ready, _, _ = select.select(sources, [], [])
    if terminal in ready:
        try:
            shown = os.read(terminal, 65536)
        except OSError:
            shown = b""
        if shown == b"":
            break
        os.write(1, shown)
    if 3 in ready:
        line = os.read(3, 64).split()
        if line:
            resize(terminal, line[0], line[1])
        else:
            break
    if 0 in ready:
        typed = os.read(0, 65536)
        if typed:
            os.write(terminal, typed)
        else:
            sources.remove(0)

os.close(terminal)
_, status = os.waitpid(child, 0)
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
