"""The app of proof-app.mjs in Python, under `kvar run`: it knows nothing of Kvar.

It uses Python's own sqlite3; the loop asks the keeper to flush. Lines out: ready · ask T · done T ·
gone T · paused · closed. Lines in: go · pause · close.
"""

import json
import os
import select
import sqlite3
import sys
import time

order = json.loads(sys.argv[1])


def say(*words):
    os.write(1, (" ".join(str(word) for word in words) + "\n").encode())


def mix(number):
    mixed = ((number ^ (number >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return mixed ^ (mixed >> 16)


def text_of(number):
    return format(mix(number), "08x") * (1 + number % 97)


def open_database():
    database = sqlite3.connect(order["database"], timeout=order["busyMs"] / 1000, isolation_level=None)
    database.execute(f"PRAGMA page_size={order['pageSize']}")
    database.execute(f"PRAGMA journal_mode={order['journalMode']}")
    database.execute("PRAGMA synchronous=FULL")
    database.execute(f"PRAGMA cache_size={order['cachePages']}")
    database.executescript(
        """CREATE TABLE IF NOT EXISTS tokens(token INTEGER PRIMARY KEY);
        CREATE TABLE IF NOT EXISTS items(id INTEGER PRIMARY KEY, token INTEGER NOT NULL, text TEXT NOT NULL);
        CREATE INDEX IF NOT EXISTS items_by_token ON items(token)"""
    )
    return database


UPDATE = "UPDATE items SET token = ?, text = ? WHERE id % ? = ?"


def carry_out(database, number):
    drawn = mix(number)
    kind, choice = drawn % 16, drawn >> 4

    def insert(count):
        rows = [(number * 64 + index, number, text_of(number)) for index in range(count)]
        database.executemany("INSERT INTO items VALUES(?, ?, ?)", rows)

    database.execute("INSERT INTO tokens VALUES(?)", (number,))
    if kind in (8, 9, 10):
        database.execute(UPDATE, (number, text_of(number), 13, choice % 13))
    elif kind in (11, 12):
        database.execute("DELETE FROM items WHERE id % 7 = ?", (choice % 7,))
    elif kind in (13, 14):
        insert(5 + choice % 30)
        database.execute(UPDATE, (number, text_of(number), 5, choice % 5))
    elif kind == 15:
        database.execute("DELETE FROM items WHERE id < ?", ((number - 60) * 64,))
        insert(20)
    else:
        insert(1)


def transact(database, number):
    say("ask", number)
    try:
        database.execute("BEGIN IMMEDIATE")
        carry_out(database, number)
        database.execute("COMMIT")
        say("done", number)
    except sqlite3.Error as error:
        if database.in_transaction:
            database.execute("ROLLBACK")
        say("gone", number, error)


def vacuum(database):
    try:
        database.execute("VACUUM")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise


def main():
    number, running, database, unread = order["firstToken"], False, None, b""
    say("ready", "{}")
    while True:
        wait = (order["pauseMs"] / 1000 if number % order["burst"] == 0 else 0) if running else None
        if select.select([0], [], [], wait)[0]:
            received = os.read(0, 4096)
            if not received:
                return
            *lines, unread = (unread + received).split(b"\n")
            for line in lines:
                if line == b"go":
                    database, running = database or open_database(), True
                elif line == b"pause":
                    running = False
                    say("paused")
                elif line == b"close":
                    if database:
                        database.close()
                    say("closed")
                    return
        elif running:
            transact(database, number)
            if mix(number ^ 0x5BD1E995) % order["vacuumEvery"] == 1:
                vacuum(database)
            number += 1


main()
