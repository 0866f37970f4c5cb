// Goal: what is special about SFTP: whose host key is accepted, the order of requests that makes
// "created" mean "survives a crash", connections that are lost or silent, servers that can do less, full
// disks, and listings that lie. Method: OpenSSH's server on the loopback, through a proxy where the
// connection is the subject; the verbs themselves are tested by tests/contract/sftp.test.ts.

import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { inspect, promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { startHoldingProxy } from '../../../../../tests/servers/holding-proxy.ts'
import { type SshServer, sshdLeftOut, startSshd } from '../../../../../tests/servers/sshd.ts'
import type { Clock } from '../../platform/clock.ts'
import { systemPlatform } from '../../platform/system.ts'
import { parseTargetUrl } from '../../settings/target-url.ts'
import { readAll, type Target } from '../target.ts'
import { withRetries } from '../wrappers/retrying-target.ts'
import { listObjects } from './sftp-list.ts'
import { SftpSession } from './sftp-session.ts'
import { readSftpSettings } from './sftp-settings.ts'
import { createSftpTarget } from './sftp-target.ts'

const run = promisify(execFile)
const MIB = 1024 * 1024
const modifiedAtMs = 1_795_428_930_123
const NO_EXTENSIONS = ['hardlink', 'posix-rename', 'fsync', 'statvfs']
const isHere = sshdLeftOut === ''
const opened: Target[] = []
let server: SshServer
let home: string

beforeAll(async () => {
  if (isHere) server = await startSshd()
  home = await mkdtemp(join(tmpdir(), 'kvar-home-'))
}, 120_000)

afterEach(() => vi.restoreAllMocks())

afterAll(async () => {
  await Promise.all(opened.map((target) => target.close()))
  await server?.stop()
  await rm(home, { recursive: true })
})

interface OpenOptions {
  of?: SshServer
  port?: number
  path?: string
  query?: string
  environment?: Record<string, string>
  home?: string
  clock?: Clock
}

async function open(options: OpenOptions = {}): Promise<Target> {
  const of = options.of ?? server
  const path = options.path ?? join(of.folder, randomUUID())
  const origin = options.port === undefined ? of.origin : of.origin.replace(/\d+$/, String(options.port))
  const environment = options.environment ?? { KVAR_SFTP_KEY: of.privateKey, KVAR_SFTP_HOST_KEY: of.hostKey }
  const source = { kind: 'option', label: 'the test', baseFolder: '/' } as const
  const setting = parseTargetUrl(`${origin}${path}${options.query ?? ''}`, { source, environment })
  const platform = { ...systemPlatform, clock: options.clock ?? systemPlatform.clock }
  const target = await createSftpTarget(readSftpSettings(setting), platform, { home: options.home ?? home })
  opened.push(target)
  return target
}

const create = (
  target: Target,
  key = 'ltx/0/a',
  body: Uint8Array = new Uint8Array(10),
  signal?: AbortSignal,
) => target.create(key, body, { modifiedAtMs, ...(signal ? { signal } : {}) })

async function keys(target: Target): Promise<string[]> {
  const seen = []
  for await (const { key } of target.list('')) seen.push(key)
  return seen
}

const thrownBy = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => error as Error,
  )

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + 60_000; performance.now() < deadline; await pause(10)) {
    if (await isSo()) return
  }
  throw new Error('it did not come about in a minute')
}

describe.skipIf(!isHere)(`sftp${sshdLeftOut}`, () => {
  describe('host keys', () => {
    const withoutHostKey = () => ({ KVAR_SFTP_KEY: server.privateKey })

    it('of a server nobody accepted are refused, with the fingerprint and how to accept it', async () => {
      const thrown = await thrownBy(open({ environment: withoutHostKey() }))
      expect(thrown).toMatchObject({
        failure: 'denied',
        message: expect.stringContaining(`${server.hostKey} (ssh-ed25519)`),
        hint: expect.stringContaining(`KVAR_SFTP_HOST_KEY=${server.hostKey}`),
        data: { hostKey: server.hostKey },
      })
    })

    it('are accepted from known_hosts, also hashed, and refused when they changed', async () => {
      const mine = await mkdtemp(join(tmpdir(), 'kvar-home-'))
      try {
        const file = join(mine, '.ssh', 'known_hosts')
        await mkdir(join(mine, '.ssh'))
        await writeFile(file, `${server.knownHost}\n`)
        expect(await create(await open({ environment: withoutHostKey(), home: mine }))).toBe('created')
        await run('ssh-keygen', ['-q', '-H', '-f', file])
        expect(await create(await open({ environment: withoutHostKey(), home: mine }))).toBe('created')
        const other = join(mine, 'other')
        await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', other])
        const { stdout } = await run('cat', [`${other}.pub`])
        await writeFile(file, `${server.knownHost.split(' ')[0]} ${stdout}`)
        const changed = await thrownBy(open({ environment: withoutHostKey(), home: mine }))
        expect(changed).toMatchObject({
          failure: 'denied',
          message: expect.stringMatching(/another host key/),
        })
      } finally {
        await rm(mine, { recursive: true })
      }
    })

    it('in the URL decide alone', async () => {
      const query = `?hostkey=${encodeURIComponent(server.hostKey)}`
      expect(await create(await open({ environment: withoutHostKey(), query }))).toBe('created')
      const wrong = `?hostkey=SHA256:${'A'.repeat(43)}`
      expect(await thrownBy(open({ environment: withoutHostKey(), query: wrong }))).toMatchObject({
        failure: 'denied',
      })
    })
  })

  it('signs in with a key file or a locked key, and says what is wrong without showing secrets', async () => {
    const locked = join(home, 'locked')
    await writeFile(locked, server.privateKey, { mode: 0o600 })
    await run('ssh-keygen', ['-q', '-p', '-P', '', '-N', 'geheim', '-f', locked])
    const stranger = join(home, 'stranger')
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', stranger])
    const KVAR_SFTP_HOST_KEY = server.hostKey
    const at = (more: Record<string, string>, query = '') =>
      open({ environment: { KVAR_SFTP_HOST_KEY, ...more }, query: query as string })
    expect(await create(await at({}, `?identity=${server.keyPath}`))).toBe('created')
    expect(await create(await at({ KVAR_SFTP_KEY: locked, KVAR_SFTP_PASSPHRASE: 'geheim' }))).toBe('created')
    expect(await create(await at({ KVAR_SFTP_KEY: '~/locked', KVAR_SFTP_PASSPHRASE: 'geheim' }))).toBe(
      'created',
    )
    const cases: Array<[Record<string, string>, object]> = [
      [{ KVAR_SFTP_KEY: locked }, { failure: 'denied', hint: /PASSPHRASE/ }],
      [
        { KVAR_SFTP_KEY: locked, KVAR_SFTP_PASSPHRASE: 'geheimer' },
        { failure: 'denied', hint: /PASSPHRASE/ },
      ],
      [{ KVAR_SFTP_KEY: stranger }, { failure: 'denied', hint: /KVAR_SFTP_KEY/ }],
      [{ KVAR_SFTP_PASSWORD: 'geheim' }, { failure: 'denied', hint: /KVAR_SFTP_PASSWORD/ }],
      [{}, { failure: 'denied' }],
      [{ KVAR_SFTP_KEY: '-----BEGIN nonsense geheim' }, { failure: 'denied', hint: /private key/ }],
      [{ KVAR_SFTP_KEY: '/nowhere/key' }, { code: 'SETTING_INVALID' }],
    ]
    for (const [more, expected] of cases) {
      const { hint, ...rest } = expected as { hint?: RegExp }
      const thrown = await thrownBy(at(more))
      expect(thrown, inspect(more)).toMatchObject({
        ...rest,
        ...(hint ? { hint: expect.stringMatching(hint) } : {}),
      })
      const shown = `${inspect(thrown, { depth: 9 })} ${JSON.stringify(thrown)}`
      expect(shown).not.toContain('geheim')
      expect(shown).not.toContain('PRIVATE KEY')
    }
  })

  it('gives an object its name when it is on the disk, and answers when the name is too', async () => {
    const target = await open()
    await create(target, 'ltx/0/warm')
    const calls: string[] = []
    const names = ['open', 'write', 'setModifiedAt', 'sync', 'close', 'link', 'remove'] as const
    for (const name of names) {
      const original = SftpSession.prototype[name] as (...args: unknown[]) => Promise<unknown>
      vi.spyOn(SftpSession.prototype, name).mockImplementation(async function (
        this: SftpSession,
        ...args: unknown[]
      ) {
        calls.push(name)
        const answer = await original.apply(this, args)
        calls.push(`${name} done`)
        return answer
      } as never)
    }
    expect(await create(target, 'ltx/0/b')).toBe('created')
    const at = (call: string, nth = 0) =>
      calls.flatMap((one, index) => (one === call ? [index] : []))[nth] ?? -1
    expect(at('sync done')).toBeGreaterThan(at('write'))
    expect(at('sync')).toBeGreaterThan(at('setModifiedAt'))
    expect(at('link')).toBeGreaterThan(at('sync done'))
    expect(at('sync', 1)).toBeGreaterThan(at('link'))
    expect(at('sync done', 1)).toBeGreaterThan(0)
    // All that needs no answer first is sent at once: three round trips in all.
    expect(calls.slice(0, 2)).toEqual(['open', 'open'])
    expect(calls.filter((call) => !call.endsWith('done'))).toEqual([
      ...['open', 'open', 'write', 'setModifiedAt', 'sync', 'close'],
      ...['link', 'sync', 'close', 'remove'],
    ])
  })

  it('keeps the time in whole seconds and leaves nothing unfinished behind', async () => {
    const path = join(server.folder, randomUUID())
    const target = await open({ path })
    await create(target, 'ltx/0/a')
    await target.replace('copies/b', new Uint8Array(1))
    expect((await stat(join(path, 'ltx/0/a'))).mtimeMs).toBe(1_795_428_930_000)
    expect((await stat(join(path, 'ltx/0/a'))).mode & 0o777).toBe(0o600)
    await until(async () => (await readdir(join(path, '.kvar-tmp'))).length === 0)
  })

  it('clears away what crashes left an hour ago, and nothing younger', async () => {
    const path = join(server.folder, randomUUID())
    await open({ path })
    const old = `${Date.now() - 3_700_000}-00ff`
    const young = `${Date.now() - 60_000}-00ff`
    for (const name of [old, young, 'notes.txt']) await writeFile(join(path, '.kvar-tmp', name), 'x')
    await open({ path })
    expect((await readdir(join(path, '.kvar-tmp'))).sort()).toEqual([young, 'notes.txt'])
  })

  it('never takes a root that vanished for an empty log', async () => {
    const path = join(server.folder, randomUUID())
    const target = await open({ path })
    await create(target)
    await rename(path, `${path}-elsewhere`)
    await mkdir(path)
    for (const verb of [() => target.read('ltx/0/a'), () => keys(target), () => create(target, 'ltx/0/b')]) {
      const thrown = await thrownBy(verb())
      expect(thrown).toMatchObject({ failure: 'temporary', message: expect.stringMatching(/is gone/) })
    }
    await rm(path, { recursive: true })
    await rename(`${path}-elsewhere`, path)
    expect(await create(target, 'ltx/0/b')).toBe('created')
  })

  it('names what stands in the way', async () => {
    const path = join(server.folder, randomUUID())
    const target = await open({ path })
    await writeFile(join(path, 'file'), 'x')
    await mkdir(join(path, 'folder'))
    expect(await thrownBy(create(target, 'file/a'))).toMatchObject({ failure: 'permanent' })
    expect(await thrownBy(create(target, 'folder'))).toMatchObject({ failure: 'permanent' })
    await symlink('/etc', join(path, 'link'))
    expect(await keys(target)).toEqual(['file'])
  })

  it('connects again after a loss, and settles a create whose answer was lost', async () => {
    const proxy = await startHoldingProxy(server.port)
    try {
      const target = await open({ port: proxy.port })
      expect(await create(target, 'a')).toBe('created')
      proxy.cut()
      const retrying = withRetries(target, { platform: systemPlatform })
      expect(await create(retrying, 'b')).toBe('created')
      const link = SftpSession.prototype.link
      const losing = async function (this: SftpSession, from: string, to: string) {
        proxy.hold()
        const answer = link.call(this, from, to)
        await until(async () => (await stat(to).catch(() => undefined)) !== undefined)
        proxy.cut()
        return answer
      }
      const spy = vi.spyOn(SftpSession.prototype, 'link').mockImplementationOnce(losing)
      expect(await thrownBy(create(target, 'c'))).toMatchObject({ failure: 'temporary' })
      expect(await readAll(target, 'c')).toHaveLength(10)
      spy.mockImplementationOnce(losing)
      expect(await create(retrying, 'd')).toBe('created')
      expect(await create(retrying, 'd', new Uint8Array(11))).toBe('exists')
    } finally {
      await proxy.stop()
    }
  })

  it('gives up a connection that says nothing any more', async () => {
    const proxy = await startHoldingProxy(server.port)
    try {
      let leapMs = 0
      const clock = { ...systemPlatform.clock, monotonicMs: () => performance.now() + leapMs }
      const target = await open({ port: proxy.port, clock })
      proxy.hold()
      const stop = new AbortController()
      const waiting = thrownBy(create(target, 'a', new Uint8Array(1), stop.signal))
      await pause(20)
      leapMs = 6000
      stop.abort()
      expect(await waiting).toMatchObject({ code: 'CANCELLED' })
      expect(await create(target, 'b')).toBe('created')
    } finally {
      await proxy.stop()
    }
  })

  it('closes its connection when it is idle, and opens another when it is needed', async () => {
    const idle = new Set<() => void>()
    const clock: Clock = {
      ...systemPlatform.clock,
      startTimer(delayMs, fire) {
        if (delayMs !== 60_000) return systemPlatform.clock.startTimer(delayMs, fire)
        idle.add(fire)
        return { cancel: () => void idle.delete(fire) }
      },
    }
    const target = await open({ clock })
    await create(target, 'a', new Uint8Array(MIB))
    const stream = (await target.read('a')) as AsyncIterableIterator<Uint8Array>
    await stream.next()
    expect(idle.size).toBe(0)
    await stream.return?.()
    expect(idle.size).toBe(1)
    const ending = vi.spyOn(SftpSession.prototype, 'end')
    for (const fire of idle) fire()
    expect(ending).toHaveBeenCalledOnce()
    expect(await create(target, 'b')).toBe('created')
  })

  it('says that the disk is full, and goes on when there is room', async ({ skip }) => {
    const place = join(server.folder, 'small')
    await mkdir(place)
    const mounting = run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', place])
    if ((await thrownBy(mounting)) !== undefined) skip('nothing can be mounted here')
    try {
      const target = await open({ path: place })
      const filling = create(target, 'a', new Uint8Array(3 * MIB))
      await expect(filling).rejects.toMatchObject({ failure: 'full' })
      expect(await target.read('a')).toBeUndefined()
      await run('mount', ['-o', 'remount,size=16m', place])
      expect(await create(target, 'a', new Uint8Array(3 * MIB))).toBe('created')
    } finally {
      await run('umount', ['-l', place])
    }
  })

  it('restores from a server that it may only read', async () => {
    const path = join(server.folder, randomUUID())
    await create(await open({ path }))
    const readOnly = await startSshd({ readOnly: true })
    try {
      const target = await open({ of: readOnly, path })
      expect(target.capabilities.createIfAbsent).toBe('checked')
      expect(await readAll(target, 'ltx/0/a')).toHaveLength(10)
      expect(await keys(target)).toEqual(['ltx/0/a'])
      for (const verb of [
        create(target, 'b'),
        target.replace('c', new Uint8Array(1)),
        target.remove(['ltx/0/a']),
      ])
        expect(await thrownBy(verb)).toMatchObject({ failure: 'denied' })
      const missing = join(server.folder, randomUUID())
      expect(await thrownBy(open({ of: readOnly, path: missing }))).toMatchObject({ failure: 'denied' })
    } finally {
      await readOnly.stop()
    }
  })

  it('finds the old object when a replacement died in the middle, on a server without the extension', async () => {
    const plain = await startSshd({ without: NO_EXTENSIONS })
    try {
      const path = join(plain.folder, randomUUID())
      const target = await open({ of: plain, path })
      expect(target.capabilities.createIfAbsent).toBe('checked')
      await target.replace('copies/a', new Uint8Array([1]))
      await rename(join(path, 'copies/a'), join(path, 'copies/.kvar-old-a'))
      expect(await readAll(target, 'copies/a')).toEqual(Buffer.from([1]))
      await target.replace('copies/a', new Uint8Array([2]))
      expect(await readAll(target, 'copies/a')).toEqual(Buffer.from([2]))
      expect(await readdir(join(path, 'copies'))).toEqual(['a'])
      await rename(join(path, 'copies/a'), join(path, 'copies/.kvar-old-a'))
      await target.remove(['copies/a'])
      expect(await target.read('copies/a')).toBeUndefined()
    } finally {
      await plain.stop()
    }
  })

  it('says when nobody is there', async () => {
    const gone = await startSshd()
    await gone.stop()
    expect(await thrownBy(open({ of: gone }))).toMatchObject({ failure: 'temporary' })
  })
})

it('uses no name of a hostile listing that is not one part of a key', async () => {
  const entry = (filename: string, isFolder = false) => ({
    filename,
    longname: '',
    attrs: { size: 1, mtime: 1, isFile: () => !isFolder, isDirectory: () => isFolder },
  })
  const hostile = [
    '..',
    '.',
    '',
    '../../etc/passwd',
    '/etc/passwd',
    'a/b',
    'a\\b',
    '\u202eb',
    'a\0b',
    '.kvar-tmp',
  ]
  const asked: string[] = []
  const session = {
    list: async (path: string) => {
      asked.push(path)
      if (path !== '/srv/data') return [entry('inner')]
      return [
        ...hostile.flatMap((name) => [entry(name), entry(name, true)]),
        entry('fine'),
        entry('sub', true),
      ]
    },
  }
  const seen = []
  for await (const { key } of listObjects(session as never, '/srv/data', '', {})) seen.push(key)
  expect(seen).toEqual(['fine', 'sub/inner'])
  expect(asked).toEqual(['/srv/data', '/srv/data/sub/'])
})
