/*
 * Goal: the header of any database SQLite makes is read as SQLite reads it, and nothing else passes.
 * Method: real databases of every page size and both journal modes; damaged bytes.
 */
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { lockPageNumber, parseDatabaseHeader } from './database-header.ts'

let folder: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'kvar-header-'))
})
afterEach(() => fs.rm(folder, { recursive: true, force: true }))

async function makeDatabase(pragmas: string): Promise<Buffer> {
  const path = join(folder, 'app.db')
  const database = new DatabaseSync(path)
  database.exec(`${pragmas}; CREATE TABLE note (body); INSERT INTO note VALUES ('Grandma comes on Sunday')`)
  database.close()
  return fs.readFile(path)
}

describe('parseDatabaseHeader', () => {
  for (const pageSize of [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]) {
    it(`reads a database with pages of ${pageSize} bytes`, async () => {
      const bytes = await makeDatabase(`PRAGMA page_size = ${pageSize}`)
      expect(parseDatabaseHeader(bytes.subarray(0, 100))).toEqual({
        pageSize,
        journalMode: 'rollback',
        changeCounter: 2,
        pageCount: bytes.length / pageSize,
        pageCountValid: true,
        versionValidFor: 2,
      })
    })
  }

  it('tells WAL mode from the rollback modes', async () => {
    const bytes = await makeDatabase('PRAGMA journal_mode = WAL')
    expect(parseDatabaseHeader(bytes)?.journalMode).toBe('wal')
  })

  it('does not trust a page count that another change counter wrote', async () => {
    const bytes = await makeDatabase('')
    bytes.writeUInt32BE(7, 24)
    expect(parseDatabaseHeader(bytes)).toMatchObject({ changeCounter: 7, pageCountValid: false })
  })

  it('refuses what is short, no database, or has an impossible page size', async () => {
    const bytes = await makeDatabase('')
    expect(parseDatabaseHeader(bytes.subarray(0, 99))).toBeUndefined()
    expect(parseDatabaseHeader(new Uint8Array(100))).toBeUndefined()
    for (const pageSize of [0, 2, 256, 513, 4095, 65535]) {
      bytes.writeUInt16BE(pageSize, 16)
      expect(parseDatabaseHeader(bytes)).toBeUndefined()
    }
  })
})

describe('lockPageNumber', () => {
  it('is the page that holds byte 0x40000000', () => {
    expect(lockPageNumber(512)).toBe(2097153)
    expect(lockPageNumber(4096)).toBe(262145)
    expect(lockPageNumber(65536)).toBe(16385)
  })
})
