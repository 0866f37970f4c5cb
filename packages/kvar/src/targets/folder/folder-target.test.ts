// Goal: what is special about folders: the order of writes that makes "created" mean "survives a
// power cut", what a vanished disk, a full disk and a crash at any moment look like, and what a
// create costs. Method: the real file system through a `Files` that records every call and can fail
// the Nth of them. The verbs themselves are tested by tests/contract/folder.test.ts.

import { createHash } from 'node:crypto'
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Files, OpenFile } from '../../platform/files.ts'
import { systemPlatform } from '../../platform/system.ts'
import { readAll, type Target } from '../target.ts'
import type { FolderPlatform } from './folder-root.ts'
import { createFolderTarget } from './folder-target.ts'

const KEY = 'ltx/0/0000000000000001-0000000000000001.ltx'
const BODY = new TextEncoder().encode('the changed pages')
const modifiedAtMs = 1_795_428_930_123

let folder: string
let root: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvar-folder-'))
  root = join(folder, 'target')
})

afterEach(() => rm(folder, { recursive: true }))

/** Files that remember each call as `verb path` and let `intercept` throw before it is done. */
function recordingPlatform(overrides: Partial<Files> = {}) {
  const calls: string[] = []
  const open = new Set<OpenFile>()
  const hooks = { intercept: (_call: string, _number: number) => {} }
  const note = (verb: string, ...paths: string[]) => {
    const shown = paths.map((path) => relative(root, path).replace(/(\.kvar-tmp)\/\d+-.*/, '$1/*') || '.')
    calls.push([verb, ...shown].join(' '))
    hooks.intercept(calls.at(-1) as string, calls.length)
  }
  const base: Files = { ...systemPlatform.files, ...overrides }
  const noted =
    <Rest extends unknown[], Answer>(verb: string, call: (path: string, ...rest: Rest) => Promise<Answer>) =>
    async (path: string, ...rest: Rest): Promise<Answer> => {
      note(verb, path)
      return call(path, ...rest)
    }
  const noted2 =
    <Answer>(verb: string, call: (from: string, to: string) => Promise<Answer>) =>
    async (from: string, to: string): Promise<Answer> => {
      note(verb, from, to)
      return call(from, to)
    }
  const openRecorded: Files['openSync'] = (path, mode) => {
    note(`open-${mode}`, path)
    const file = base.openSync(path, mode)
    const recorded: OpenFile = {
      ...pick(file, ['truncateSync', 'factsSync', 'syncSync']),
      readSync(buffer, offset) {
        note('read', path)
        return file.readSync(buffer, offset)
      },
      writeSync(buffer, offset) {
        note('write', path)
        file.writeSync(buffer, offset)
      },
      async sync() {
        note('sync', path)
        await file.sync()
      },
      closeSync() {
        open.delete(recorded)
        file.closeSync()
      },
    }
    open.add(recorded)
    return recorded
  }
  const files: Files = {
    ...base,
    openSync: openRecorded,
    stat: noted('stat', base.stat),
    list: noted('list', base.list),
    writeFile: noted('write-file', base.writeFile),
    makeFolder: noted('make-folder', base.makeFolder),
    rename: noted2('rename', base.rename),
    link: noted2('link', base.link),
    remove: noted('remove', base.remove),
    setModifiedAt: noted('set-time', base.setModifiedAt),
    syncFolder: noted('sync-folder', base.syncFolder),
  }
  const platform: FolderPlatform = { ...systemPlatform, files }
  return { platform, calls, open, hooks }
}

/** Some verbs of an open file, still bound to it. */
function pick<Verb extends keyof OpenFile>(file: OpenFile, verbs: Verb[]): Pick<OpenFile, Verb> {
  return Object.fromEntries(verbs.map((verb) => [verb, file[verb].bind(file)])) as Pick<OpenFile, Verb>
}

function failure(code: string): Error {
  return Object.assign(new Error(`${code}: made up`), { code })
}

const create = (target: Target, key = KEY) => target.create(key, BODY, { modifiedAtMs })

async function keys(target: Target, prefix = ''): Promise<string[]> {
  const seen: string[] = []
  for await (const { key } of target.list(prefix)) seen.push(key)
  return seen
}

describe('the order that makes an object durable', () => {
  it('forces the names beside removed objects to the disk before they go', async () => {
    const { platform, calls } = recordingPlatform()
    const target = await createFolderTarget({ path: root, platform })
    for (const key of ['ltx/0/a', 'ltx/0/b', 'ltx/1/a-b']) await create(target, key)
    calls.length = 0
    await target.remove(['ltx/0/a', 'ltx/0/b'])
    const steps = calls.filter((call) => /^(sync-folder|remove) /.test(call))
    expect(steps.indexOf('sync-folder ltx/1')).toBeGreaterThanOrEqual(0)
    expect(steps.indexOf('sync-folder ltx/1')).toBeLessThan(steps.indexOf('remove ltx/0/a'))
  })

  it('syncs content and time before the link, and the folder before the answer', async () => {
    const { platform, calls } = recordingPlatform()
    const target = await createFolderTarget({ path: root, platform })
    await create(target, 'ltx/0/a')
    calls.length = 0
    expect(await create(target, 'ltx/0/b')).toBe('created')
    // The whole cost of a create in a known folder: nothing is looked up, one file and one folder synced.
    expect(calls).toEqual([
      'open-createNew .kvar-tmp/*',
      'write .kvar-tmp/*',
      'set-time .kvar-tmp/*',
      'sync .kvar-tmp/*',
      'link .kvar-tmp/* ltx/0/b',
      'sync-folder ltx/0',
      'remove .kvar-tmp/*',
    ])
  })

  it('syncs every new folder name on the way, from the root on', async () => {
    const { platform, calls } = recordingPlatform()
    const target = await createFolderTarget({ path: root, platform })
    calls.length = 0
    await create(target, 'kvar/branches/one/a')
    const linked = calls.indexOf('link .kvar-tmp/* kvar/branches/one/a')
    for (const parent of ['.', 'kvar', 'kvar/branches']) {
      const synced = calls.lastIndexOf(`sync-folder ${parent}`)
      expect(synced, parent).toBeGreaterThan(calls.indexOf('make-folder kvar/branches/one'))
      expect(synced, parent).toBeLessThan(linked)
    }
    expect(calls.indexOf('sync-folder kvar/branches/one')).toBeGreaterThan(linked)
  })

  it('syncs the folder before it says "exists", for the maker may have died just before', async () => {
    const { platform, calls } = recordingPlatform()
    const target = await createFolderTarget({ path: root, platform })
    await create(target)
    calls.length = 0
    expect(await create(target)).toBe('exists')
    expect(calls).toContain('sync-folder ltx/0')
  })

  it('syncs before and after the rename of a replace, and after a remove', async () => {
    const { platform, calls } = recordingPlatform()
    const target = await createFolderTarget({ path: root, platform })
    await target.replace('copies/a', BODY)
    const rename = calls.indexOf('rename .kvar-tmp/* copies/a')
    expect(calls.indexOf('sync .kvar-tmp/*')).toBeLessThan(rename)
    expect(calls.indexOf('sync-folder copies')).toBeGreaterThan(rename)
    calls.length = 0
    await target.remove(['copies/a'])
    expect(calls.lastIndexOf('sync-folder copies')).toBeGreaterThan(calls.indexOf('remove copies/a'))
  })

  it('syncs the parents of a new root', async () => {
    const { platform, calls } = recordingPlatform()
    root = join(folder, 'new', 'deep')
    await createFolderTarget({ path: root, platform })
    expect(calls.filter((call) => call.startsWith('sync-folder ..'))).toEqual([
      'sync-folder ..',
      'sync-folder ../..',
    ])
    expect(calls.indexOf('sync-folder .')).toBeGreaterThan(calls.indexOf('sync .kvar-target'))
  })
})

describe('a failure at any moment', () => {
  it('leaves the object whole or absent, and the next try succeeds', async () => {
    let number = 1
    for (let isThrough = false; !isThrough; number++) {
      const { platform, calls, open, hooks } = recordingPlatform()
      const target = await createFolderTarget({ path: join(root, String(number)), platform })
      calls.length = 0
      hooks.intercept = (call, at) => {
        if (at === number && !call.startsWith('remove')) throw failure('EIO')
      }
      const outcome = await create(target).catch((error: unknown) => error)
      isThrough = calls.length < number
      hooks.intercept = () => {}
      if (typeof outcome !== 'string') expect(outcome).toMatchObject({ code: 'TARGET_TEMPORARY' })
      const found = await readAll(target, KEY)
      if (found !== undefined) expect(Buffer.compare(found, BODY)).toBe(0)
      expect(await create(target)).toBe(found === undefined ? 'created' : 'exists')
      expect(await keys(target)).toEqual([KEY])
      expect(open.size).toBe(0)
      expect(await readdir(join(root, String(number), '.kvar-tmp'))).toEqual([])
    }
    expect(number).toBeGreaterThan(10)
  })

  it('counts as success once the object is on the disk, even if the temporary name stays', async () => {
    const { platform, hooks } = recordingPlatform()
    const target = await createFolderTarget({ path: root, platform })
    hooks.intercept = (call) => {
      if (call.startsWith('remove')) throw failure('EIO')
    }
    expect(await create(target)).toBe('created')
    expect(await keys(target)).toEqual([KEY])
    expect(await readdir(join(root, '.kvar-tmp'))).toHaveLength(1)
  })

  it('clears away leftovers by the time in their name, and leaves younger ones to their makers', async () => {
    await createFolderTarget({ path: root, platform: systemPlatform })
    const nowMs = systemPlatform.clock.nowMs()
    const names = [`${nowMs - 3_700_000}-00ff`, `${nowMs - 3_500_000}-00ff`, `${nowMs}-00ff`]
    for (const name of names) {
      await writeFile(join(root, '.kvar-tmp', name), 'half')
      await utimes(join(root, '.kvar-tmp', name), 1, 1)
    }
    const target = await createFolderTarget({ path: root, platform: systemPlatform })
    expect((await readdir(join(root, '.kvar-tmp'))).sort()).toEqual(names.slice(1).sort())
    expect(await keys(target)).toEqual([])
  })

  it('classifies what the file system says', async () => {
    const table = {
      ENOSPC: 'full',
      EDQUOT: 'full',
      EACCES: 'denied',
      EPERM: 'denied',
      EROFS: 'denied',
      EIO: 'temporary',
      ESTALE: 'temporary',
      EBUSY: 'temporary',
      EMFILE: 'temporary',
      ENEWTOUS: 'temporary',
      ENAMETOOLONG: 'permanent',
      EXDEV: 'permanent',
    }
    const { platform, hooks } = recordingPlatform()
    const target = await createFolderTarget({ path: root, platform })
    await create(target, 'there')
    for (const [code, expected] of Object.entries(table)) {
      hooks.intercept = () => {
        throw failure(code)
      }
      for (const verb of [
        () => create(target),
        () => target.read('there'),
        () => keys(target),
        () => target.remove(['a']),
      ]) {
        await expect(verb(), code).rejects.toMatchObject({ failure: expected, data: { systemCode: code } })
      }
    }
  })

  it('says which place a file blocks, and which a folder', async () => {
    const target = await createFolderTarget({ path: root, platform: systemPlatform })
    await create(target, 'a')
    await expect(create(target, 'a/b')).rejects.toMatchObject({ failure: 'permanent' })
    await create(target, 'b/c')
    await expect(create(target, 'b')).rejects.toMatchObject({ failure: 'permanent' })
    await writeFile(join(folder, 'file'), 'not a folder')
    const opening = createFolderTarget({ path: join(folder, 'file'), platform: systemPlatform })
    await expect(opening).rejects.toMatchObject({ failure: 'permanent' })
  })

  it('goes on after somebody removed its folders', async () => {
    const target = await createFolderTarget({ path: root, platform: systemPlatform })
    await create(target)
    await rm(join(root, 'ltx'), { recursive: true })
    await rm(join(root, '.kvar-tmp'), { recursive: true })
    await expect(create(target)).rejects.toMatchObject({ failure: 'temporary' })
    expect(await create(target)).toBe('created')
  })
})

describe('a root that vanishes', () => {
  for (const [how, vanish] of Object.entries({
    'is gone': async () => {},
    'is an empty mount point now': () => mkdir(root),
  })) {
    it(`${how}: an error, never an empty log; and all is well when it is back`, async () => {
      const target = await createFolderTarget({ path: root, platform: systemPlatform })
      await create(target)
      await rename(root, join(folder, 'away'))
      await vanish()
      const verbs = [
        () => target.read(KEY),
        () => keys(target),
        () => keys(target, 'ltx/0/'),
        () => create(target),
        () => create(target, 'new/folder/a'),
        () => target.replace('copies/a', BODY),
        () => target.remove([KEY]),
      ]
      for (const verb of verbs) {
        await expect(verb()).rejects.toMatchObject({
          failure: 'temporary',
          message: expect.stringMatching(/is gone/),
        })
      }
      expect(await readdir(root).catch(() => [])).toEqual([])
      await rm(root, { recursive: true, force: true })
      await rename(join(folder, 'away'), root)
      expect(await keys(target)).toEqual([KEY])
      expect(await create(target)).toBe('exists')
    })
  }

  it('half-way through a listing: the listing fails', async () => {
    const target = await createFolderTarget({ path: root, platform: systemPlatform })
    await create(target, 'a/1')
    await create(target, 'b/1')
    const listing = (async () => {
      for await (const { key } of target.list('')) {
        if (key === 'a/1') await rename(root, join(folder, 'away'))
      }
    })()
    await expect(listing).rejects.toMatchObject({ failure: 'temporary' })
  })
})

describe('opening', () => {
  it('makes a private folder with parents, and names it without characters that end a URL', async () => {
    root = join(folder, 'my backup#1', 'a%b')
    const target = await createFolderTarget({ path: root, platform: systemPlatform })
    expect((await stat(root)).mode & 0o777).toBe(0o700)
    expect(target.url).toBe(`folder:${folder}/my%20backup%231/a%25b`)
    expect(target.capabilities).toMatchObject({
      createIfAbsent: 'atomic',
      keepsModifiedAt: true,
      deviceId: (await stat(root)).dev,
    })
  })

  it('reads from a medium that cannot be written, and refuses writes there', async () => {
    await mkdir(join(root, 'ltx/0'), { recursive: true })
    await writeFile(join(root, KEY), BODY)
    const { platform, hooks } = recordingPlatform()
    hooks.intercept = (call) => {
      if (/^(make-folder|write|link|set-time|open-c)/.test(call)) throw failure('EROFS')
    }
    const target = await createFolderTarget({ path: root, platform })
    expect(await keys(target)).toEqual([KEY])
    expect(await readAll(target, KEY)).toEqual(BODY)
    expect(await target.read('ltx/0/b')).toBeUndefined()
    await expect(create(target)).rejects.toMatchObject({ failure: 'denied' })
    expect(await readdir(root)).toEqual(['ltx'])
  })

  it('lists neither dot names, nor names that are no keys, nor links to folders', async () => {
    const target = await createFolderTarget({ path: root, platform: systemPlatform })
    await create(target)
    for (const name of ['.DS_Store', 'ltx/0/.hidden', 'ltx/ä', 'ltx/a b'])
      await writeFile(join(root, name), 'x')
    await symlink(join(root, 'ltx'), join(root, 'loop'))
    expect(await keys(target)).toEqual([KEY])
  })
})

describe('without links', () => {
  const link: Files['link'] = async () => 'unsupported'

  it('says that it cannot fence', async () => {
    const target = await createFolderTarget({ path: root, platform: recordingPlatform({ link }).platform })
    expect(target.capabilities).toMatchObject({ createIfAbsent: 'checked', keepsModifiedAt: false })
  })

  it('has one winner in a race: the others find the object or are told to come again', async () => {
    const platform = recordingPlatform({ link }).platform
    const targets = await Promise.all([1, 2, 3].map(() => createFolderTarget({ path: root, platform })))
    for (let round = 0; round < 10; round++) {
      const outcomes = await Promise.all(
        targets.map((target) =>
          create(target, `r/${round}`).catch((error: { failure: string }) => error.failure),
        ),
      )
      expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(1)
      expect(['created', 'exists', 'temporary']).toEqual(expect.arrayContaining(outcomes))
    }
  })

  it('waits for the guard of a creator that died, but not for ever', async () => {
    const { platform } = recordingPlatform({ link })
    const target = await createFolderTarget({ path: root, platform })
    const guard = `guard-${createHash('sha256').update(join(root, KEY)).digest('hex')}`
    await writeFile(join(root, '.kvar-tmp', guard), '')
    await expect(create(target)).rejects.toMatchObject({ failure: 'temporary' })
    expect(await target.read(KEY)).toBeUndefined()
    const longAgo = systemPlatform.clock.nowMs() / 1000 - 61
    await utimes(join(root, '.kvar-tmp', guard), longAgo, longAgo)
    expect(await create(target)).toBe('created')
    expect(await readdir(join(root, '.kvar-tmp'))).not.toContain(guard)
  })
})

describe('reading', () => {
  const large = new Uint8Array(1_000_000).fill(7)

  it('closes every descriptor: at the end, when stopped early, and with the target', async () => {
    const { platform, open } = recordingPlatform()
    const target = await createFolderTarget({ path: root, platform })
    await target.create('large', large, { modifiedAtMs })
    await readAll(target, 'large')
    for await (const _ of (await target.read('large')) ?? []) break
    expect(open.size).toBe(0)
    await target.read('large')
    expect(open.size).toBe(1)
    await target.close()
    expect(open.size).toBe(0)
  })

  it('fails, and does not just end, when the target is closed meanwhile', async () => {
    const target = await createFolderTarget({ path: root, platform: systemPlatform })
    await target.create('large', large, { modifiedAtMs })
    const reading = (async () => {
      for await (const _ of (await target.read('large')) ?? []) await target.close()
    })()
    await expect(reading).rejects.toMatchObject({ code: 'CANCELLED' })
  })

  it('reads on from the object it opened when that is replaced', async () => {
    const target = await createFolderTarget({ path: root, platform: systemPlatform })
    await target.replace('mutable', large)
    const seen: number[] = []
    for await (const chunk of (await target.read('mutable')) ?? []) {
      if (seen.length === 0) await target.replace('mutable', new Uint8Array(1_000_000).fill(8))
      seen.push(...new Set(chunk))
    }
    expect(new Set(seen)).toEqual(new Set([7]))
  })

  it('lets the event loop turn between chunks', async () => {
    const target = await createFolderTarget({ path: root, platform: systemPlatform })
    await target.create('large', large, { modifiedAtMs })
    let turns = 0
    const count = () => {
      turns += 1
      immediate = setImmediate(count)
    }
    let immediate = setImmediate(count)
    for await (const _ of (await target.read('large')) ?? []);
    clearImmediate(immediate)
    expect(turns).toBeGreaterThanOrEqual(4)
  })
})

it('is refused by the rights of the system when it may not write', async ({ skip }) => {
  if (process.getuid?.() === 0) skip('root may write everywhere')
  await mkdir(root)
  await chmod(root, 0o500)
  const target = await createFolderTarget({ path: root, platform: systemPlatform })
  await expect(create(target)).rejects.toMatchObject({ failure: 'denied' })
})
