"""A terminal with a program in it, driven by lines of JSON.

Arguments: columns, lines, program and its arguments. Each line on standard input is an object:
{"type": text}, {"resize": [columns, lines]}, {"signal": number}, {"hang_up": true} or {}; each is answered by what the terminal shows
then. The terminal is a pseudo-terminal of the kernel; what it shows is worked out by pyte.
"""

import json
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios

import pyte

ALTERNATE_SCREEN = 1049 << 5


def set_size(terminal, columns, lines):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


class Terminal:
    def __init__(self, columns, lines, program):
        self.master, slave = pty.openpty()
        set_size(self.master, columns, lines)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.pid = os.fork()
        if self.pid == 0:
            os.login_tty(slave)
            os.environ["TERM"] = "xterm-256color"
            os.execvp(program[0], program)
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.status = None
        self.gone = False

    def read(self):
        self.stream.feed(os.read(self.master, 65536))

    def do(self, command):
        if "type" in command:
            os.write(self.master, command["type"].encode())
        if "resize" in command:
            columns, lines = command["resize"]
            set_size(self.master, columns, lines)
            self.screen.resize(lines=lines, columns=columns)
        if "signal" in command:
            os.kill(self.pid, command["signal"])
        if "hang_up" in command:
            os.close(self.master)
            os.close(self.slave)
            self.gone = True

    def state(self):
        while not self.gone and select.select([self.master], [], [], 0)[0]:
            self.read()
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return {
            "screen": self.screen.display,
            "status": self.status,
            "alternate": ALTERNATE_SCREEN in self.screen.mode,
            "cursor": not self.screen.cursor.hidden,
            "as_before": not self.gone and termios.tcgetattr(self.slave) == self.before,
        }


def main():
    columns, lines = int(sys.argv[1]), int(sys.argv[2])
    terminal = Terminal(columns, lines, sys.argv[3:])
    while True:
        ready = select.select([0] if terminal.gone else [0, terminal.master], [], [])[0]
        if terminal.master in ready:
            terminal.read()
        if 0 in ready:
            line = sys.stdin.readline()
            if not line:
                if terminal.status is None:
                    os.kill(terminal.pid, signal.SIGKILL)
                return
            terminal.do(json.loads(line))
            print(json.dumps(terminal.state()), flush=True)


main()
