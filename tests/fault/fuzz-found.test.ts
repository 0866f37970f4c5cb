/**
 * Goal: what the parser fuzz and the damaged logs found stays mended (PROOF 17, 19; R10, R12).
 * Method: each input that once was believed or threw a TypeError, given again.
 */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readClientLine, readKeeperLine } from '../../packages/kvar/src/keeper/protocol-lines.ts'
import { emptyMemory, StateStore } from '../../packages/kvar/src/keeper/state-store.ts'
import { readBranch } from '../../packages/kvar/src/log/branches.ts'
import { branchMetaKey } from '../../packages/kvar/src/log/log-layout.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { MemoryTarget } from '../support/memory-target.ts'

const MEMORY = emptyMemory('00000000feedface', '00000000000000aa')

async function loaded(state: unknown): Promise<unknown> {
  const folder = fs.mkdtempSync(join(tmpdir(), 'kvar-found-'))
  try {
    fs.writeFileSync(join(folder, 'state.json'), JSON.stringify(state))
    return await new StateStore(folder, systemPlatform).load()
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
}

test('a keeper’s memory that is none counts as lost', async () => {
  expect(await loaded(MEMORY)).toBeDefined()
  const entry = { version: 1, databaseChecksum: '1e3', salts: null, frameCount: 0 }
  const broken = [null, [], 5, { ...MEMORY, databaseChecksum: 'x' }, { ...MEMORY, history: [entry] }]
  for (const state of [...broken, { ...MEMORY, history: [null] }, { ...MEMORY, position: undefined }])
    expect(await loaded(state), JSON.stringify(state)).toBeUndefined()
})

test('a line that is none ends neither keeper nor app', () => {
  for (const line of [
    'null',
    '5',
    '"cancel"',
    '[]',
    '',
    '{"id":1}x',
    '{"cancel":{}}',
    '{"method":"flush"}',
  ]) {
    expect(readClientLine(line), line).toBeUndefined()
    expect(readKeeperLine(line), line).toBeUndefined()
  }
  for (const call of ['{"id":1,"method":"constructor"}', '{"id":1,"method":"hello","params":{"nonce":5}}'])
    expect(readClientLine(call)).toMatchObject({ id: 1, problem: { code: 'USAGE' } })
  expect(readKeeperLine('{"id":1,"error":null}')).toBeUndefined()
})

test('a branch whose times are none is no branch', async () => {
  const id = '000000000000000c-00000000feedbeef'
  const branch = {
    ...{ format: 1, id, lineage: '00000000feedface', reason: 'diverged', baseVersion: 12, headVersion: 1 },
    ...{
      createdAt: '2026-11-23T10:15:30.123Z',
      keepUntil: '2027-02-21T10:15:30.123Z',
      databaseChecksum: null,
    },
  }
  const read = (info: object) => {
    const target = new MemoryTarget()
    target.objects.set(branchMetaKey(id), { bytes: Buffer.from(JSON.stringify(info)), modifiedAtMs: 0 })
    return readBranch(target, id)
  }
  expect(await read(branch)).toEqual(branch)
  for (const wrong of [{ keepUntil: 'soon' }, { createdAt: '' }, { headVersion: 0 }, { lineage: '../..' }])
    await expect(read({ ...branch, ...wrong })).rejects.toMatchObject({ code: 'DAMAGED' })
})
