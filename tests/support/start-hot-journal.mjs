// An app that is killed in the middle of a transaction that has spilled its cache into the database file:
// what it leaves is a database that is only whole together with its hot journal.
import { writeSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

const database = new DatabaseSync(process.argv[2])
database.exec('PRAGMA journal_mode=DELETE; PRAGMA cache_size=10; PRAGMA cache_spill=1; BEGIN')
const fill = (table) => `WITH RECURSIVE count(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < 400)
  INSERT INTO ${table} (id, text) SELECT 1000 + n, hex(randomblob(400)) FROM count`
database.exec(`UPDATE notes SET text = 'half done'`)
database.exec(fill('notes'))
// The pages of the first table leave the cache for those of the second.
database.exec('CREATE TABLE others (id INTEGER PRIMARY KEY, text TEXT)')
database.exec(fill('others'))
writeSync(1, 'spilled\n')
setInterval(() => undefined, 1000)
