/*
 * Goal: what was noted version by version is remembered after a crash at any moment, and nothing that
 * is torn, stale or of another life is taken for true.
 * Method: a store that notes and saves at random, against the memory as it went; then the files as a
 * crash leaves them are loaded: the memory has to be the newest one noted.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemPlatform } from '../platform/system.ts'
import { emptyMemory, type KeeperMemory, StateStore } from './state-store.ts'
import { VersionNotes } from './version-notes.ts'

const NODE = '00000000000000aa'
let folder: string
let memory: KeeperMemory

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvar-notes-'))
  memory = emptyMemory('00000000feedface', NODE)
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const newStore = () => new StateStore(folder, systemPlatform)
const loaded = async () => (await newStore().load())?.memory

async function noteVersion(
  store: StateStore,
  version: number,
  ledgerUrl: string | null = 'folder:/srv/a',
): Promise<void> {
  const same = { version, databaseChecksum: String(version * 7919), nodeId: NODE }
  await store.note(memory, { kind: 'intent', ...same })
  const position = {
    changeCounter: version,
    wal: { salt1: 1, salt2: 2, frameCount: version, checksum1: 3, checksum2: 4 },
  }
  const times = { timestampMs: version * 1000, notedAtMs: version * 1001 }
  await store.note(memory, { kind: 'confirmed', ...same, ...times, position, ledgerUrl })
}

describe('after a crash the memory is the newest one noted', () => {
  it('however notes, saves and lives follow each other', async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.constant('version') },
      { weight: 1, arbitrary: fc.constantFrom('save', 'new life', 'intent') },
    )
    const check = fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      rmSync(folder, { recursive: true, force: true })
      folder = mkdtempSync(join(tmpdir(), 'kvar-notes-'))
      memory = emptyMemory('00000000feedface', NODE)
      let store = newStore()
      await store.save(memory)
      for (const name of steps) {
        if (name === 'version') await noteVersion(store, memory.version + 1)
        else if (name === 'save') await store.save(memory)
        else if (name === 'intent') {
          await store.note(memory, {
            kind: 'intent',
            version: memory.version + 1,
            databaseChecksum: '5',
            nodeId: NODE,
          })
        } else {
          store.close()
          memory = (await loaded()) as KeeperMemory
          store = newStore()
        }
        expect(await loaded()).toEqual(JSON.parse(JSON.stringify(memory)))
      }
      store.close()
    })
    await fc.assert(check, { numRuns: 25 })
  })

  it('beyond the number of records, without a save by anybody else', async () => {
    const store = newStore()
    for (let version = 1; version <= VersionNotes.limit * 2; version++) await noteVersion(store, version)
    store.close()
    expect(await loaded()).toEqual(JSON.parse(JSON.stringify(memory)))
    expect(memory.history.length).toBe(64)
  })

  it('with a ledger whose name does not fit into a record', async () => {
    const store = newStore()
    await noteVersion(store, 1, `folder:/${'a'.repeat(600)}`)
    await noteVersion(store, 2)
    store.close()
    expect(await loaded()).toEqual(JSON.parse(JSON.stringify(memory)))
  })
})

describe('what is not true is not believed', () => {
  it('a torn note and everything after it count as missing', async () => {
    const store = newStore()
    for (let version = 1; version <= 5; version++) await noteVersion(store, version)
    store.close()
    const path = join(folder, 'notes.bin')
    const bytes = readFileSync(path)
    // Notes 1 to 10 are there; the first one made the file, so note 6 confirms version 3.
    bytes[6 * 512 + 100] = 0
    writeFileSync(path, bytes)
    const found = await loaded()
    expect(found?.version).toBe(2)
    expect(found?.intent?.version).toBe(3)
  })

  it('notes of an earlier life do not follow a memory that was made anew', async () => {
    const store = newStore()
    for (let version = 1; version <= 5; version++) await noteVersion(store, version)
    store.close()
    rmSync(join(folder, 'state.json'))
    memory = emptyMemory('00000000feedbeef', NODE)
    const second = newStore()
    await noteVersion(second, 1)
    second.close()
    expect(await loaded()).toEqual(JSON.parse(JSON.stringify(memory)))
  })
})
