"""A small app of somebody else: Python's own sqlite3, rollback journal, no idea of Kvar.

    python-app.py DATABASE add TEXT [EXIT_CODE]   adds a row, prints all rows as JSON
    python-app.py DATABASE die TEXT               adds a row and is gone at once
    python-app.py DATABASE serve                  says "ready"; a row for each signal; SIGTERM ends it
    python-app.py DATABASE write                  says "ready"; a row every 20 ms, until it is ended
    python-app.py DATABASE stubborn               the same, and takes no notice of SIGTERM
    python-app.py DATABASE arguments …            prints its arguments as JSON
"""
import json
import os
import signal
import sqlite3
import sys
import time

path, verb, *rest = sys.argv[1:]
database = sqlite3.connect(path, timeout=5)
assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
database.execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT, at TEXT DEFAULT CURRENT_TIMESTAMP)")


def add(text):
    database.execute("INSERT INTO notes (text) VALUES (?)", (text,))
    database.commit()


def on_signal(number, frame):
    name = signal.Signals(number).name
    add(name)
    print(name, flush=True)
    if name == "SIGTERM":
        sys.exit(0)


if verb == "add":
    add(rest[0])
    print(json.dumps([row[0] for row in database.execute("SELECT text FROM notes ORDER BY id")]), flush=True)
    sys.exit(int(rest[1]) if len(rest) > 1 else 0)
elif verb == "die":
    add(rest[0])
    os.kill(os.getpid(), signal.SIGKILL)
elif verb == "serve":
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2"):
        signal.signal(getattr(signal, name), on_signal)
    print("ready", flush=True)
    while True:
        signal.pause()
elif verb in ("write", "stubborn"):
    if verb == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        add("row")
        time.sleep(0.02)
elif verb == "arguments":
    print(json.dumps(rest), flush=True)
