/**
 * Goal: signing in works as a person does it, gives a sign-in that lasts, and leaves its secrets on standard
 * output alone. Method: the real program against the emulators' authorization servers, which hold codes to
 * their challenges; the browser's part is played by the test.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { DropboxEmulator } from '../emulators/dropbox.ts'
import { GoogleDriveEmulator } from '../emulators/google-drive.ts'
import { jsonLines, KVAR, lastOf } from './kvar-world.ts'

let dropbox: DropboxEmulator
let drive: GoogleDriveEmulator
let folder: string
const running = new Set<ChildProcess>()

beforeAll(async () => {
  dropbox = await DropboxEmulator.start()
  drive = await GoogleDriveEmulator.start()
})
afterAll(async () => {
  await dropbox.stop()
  await drive.stop()
})
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'kvar-login-'))
})
afterEach(() => {
  for (const child of running) child.kill('SIGKILL')
  running.clear()
  expect(fs.readdirSync(folder)).toEqual([])
  fs.rmSync(folder, { recursive: true })
})

class Login {
  readonly child: ChildProcess
  stdout = ''
  stderr = ''

  constructor(words: string[], variables: Record<string, string>) {
    const { PATH = '' } = process.env
    this.child = spawn(process.execPath, [KVAR, 'login', ...words], {
      cwd: folder,
      env: { PATH, ...variables },
    })
    running.add(this.child)
    this.child.stdout?.on('data', (bytes) => {
      this.stdout += bytes
    })
    this.child.stderr?.on('data', (bytes) => {
      this.stderr += bytes
    })
  }

  /** The address that the person is to open. */
  async address(): Promise<string> {
    for (;;) {
      const found = /https?:\/\/[^\s"]+(?=[\s"])/.exec(this.stdout + this.stderr)?.[0]
      if (found !== undefined) return found
      if (this.child.exitCode !== null) throw new Error(`ended: ${this.stdout}${this.stderr}`)
      await Promise.race([
        once(this.child.stderr as NodeJS.ReadableStream, 'data'),
        once(this.child.stdout as NodeJS.ReadableStream, 'data'),
        once(this.child, 'close'),
      ])
    }
  }

  type(line: string): void {
    this.child.stdin?.end(line)
  }

  async ended(): Promise<{ code: number | null; stdout: string; stderr: string }> {
    if (this.child.exitCode === null) await once(this.child, 'close')
    return { code: this.child.exitCode, stdout: this.stdout, stderr: this.stderr }
  }
}

describe('dropbox', () => {
  const start = (words: string[] = [], changed: Record<string, string> = {}) =>
    new Login(['dropbox', ...words], {
      KVAR_LOGIN_ENDPOINT: dropbox.url,
      KVAR_DROPBOX_APP_KEY: dropbox.oauth.app.id,
      ...changed,
    })

  it('takes the pasted code and prints a sign-in that lasts', async () => {
    const login = start()
    const address = await login.address()
    expect(new URL(address).searchParams.has('redirect_uri')).toBe(false)
    expect(new URL(address).searchParams.get('scope')).toBe(
      'files.metadata.read files.content.read files.content.write',
    )
    const { code } = dropbox.oauth.agree(address)
    login.type(`  ${code}\n`)
    const ended = await login.ended()
    const refreshToken = dropbox.oauth.secrets.at(-2) as string
    expect(refreshToken).toMatch(/^refresh-/)
    expect(ended).toMatchObject({ code: 0 })
    expect(ended.stdout).toBe(
      `KVAR_DROPBOX_APP_KEY=${dropbox.oauth.app.id}\nKVAR_DROPBOX_REFRESH_TOKEN=${refreshToken}\n`,
    )
    for (const secret of dropbox.oauth.secrets) expect(ended.stderr).not.toContain(secret)
  })

  it('with --json prints the address, then the result', async () => {
    const login = start(['--json'])
    const address = await login.address()
    login.type(`${dropbox.oauth.agree(address).code}\n`)
    const { stdout } = await login.ended()
    expect(jsonLines(stdout)[0]).toMatchObject({ event: 'visit', url: address })
    const variables = { KVAR_DROPBOX_REFRESH_TOKEN: expect.stringMatching(/^refresh-/) }
    expect(lastOf(stdout)).toMatchObject({ event: 'summary', exitCode: 0, provider: 'dropbox', variables })
  })

  it('a code for another challenge is worth nothing, and is not repeated', async () => {
    const [one, other] = [start(), start()]
    await one.address()
    const { code } = dropbox.oauth.agree(await other.address())
    one.type(`${code}\n`)
    const ended = await one.ended()
    expect(ended).toMatchObject({
      code: 7,
      stdout: '',
      stderr: expect.stringMatching(/error: Cannot sign in/),
    })
    for (const secret of dropbox.oauth.secrets) expect(ended.stderr).not.toContain(secret)
  })

  it('says what is missing: the code, the app, and takes no server elsewhere', async () => {
    const empty = start()
    await empty.address()
    empty.type('\n')
    expect(await empty.ended()).toMatchObject({ code: 2, stderr: expect.stringMatching(/No code was given/) })
    const cases: Array<[Record<string, string>, RegExp]> = [
      [{ KVAR_DROPBOX_APP_KEY: '' }, /KVAR_DROPBOX_APP_KEY is not set\nhint: .*docs\/providers\/dropbox\.md/],
      [{ KVAR_LOGIN_ENDPOINT: 'http://kvar.example' }, /not on this machine/],
    ]
    for (const [changed, message] of cases) {
      expect(await start([], changed).ended()).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(message),
      })
    }
  })
})

describe('google', () => {
  const secret = () => drive.oauth.app.secret as string
  const start = (words: string[] = []) =>
    new Login(['google', ...words], {
      KVAR_LOGIN_ENDPOINT: drive.url,
      KVAR_GDRIVE_CLIENT_ID: drive.oauth.app.id,
      KVAR_GDRIVE_CLIENT_SECRET: secret(),
    })

  it('takes the code that the browser brings, with our state only', async () => {
    const login = start()
    const address = await login.address()
    expect(new URL(address).searchParams.get('scope')).toBe('https://www.googleapis.com/auth/drive.file')
    const { redirect } = drive.oauth.agree(address)
    expect(redirect?.hostname).toBe('127.0.0.1')
    const forged = new URL(redirect as URL)
    forged.searchParams.set('state', 'guessed')
    forged.searchParams.set('code', 'theirs')
    expect((await fetch(forged)).status).toBe(400)
    const page = await fetch(redirect as URL)
    expect(await page.text()).toMatch(/Signed in/)
    const ended = await login.ended()
    expect(ended).toMatchObject({ code: 0 })
    expect(ended.stdout).toMatch(/^KVAR_GDRIVE_CLIENT_ID=\S+\nKVAR_GDRIVE_REFRESH_TOKEN=refresh-\w+\n$/)
    expect(ended.stdout + ended.stderr).not.toContain(secret())
    for (const hidden of drive.oauth.secrets) expect(ended.stderr).not.toContain(hidden)
  })

  it('ends when access is refused there', async () => {
    const login = start(['--json'])
    const query = new URL(await login.address()).searchParams
    await fetch(`${query.get('redirect_uri')}/?error=access_denied&state=${query.get('state')}`)
    const { code, stdout } = await login.ended()
    expect(code).toBe(7)
    expect(lastOf(stdout)).toMatchObject({ event: 'error', code: 'TARGET_DENIED', exitCode: 7 })
  })

  it('ends in order when it is no longer wanted', async () => {
    const login = start()
    await login.address()
    login.child.kill('SIGTERM')
    expect((await login.ended()).code).toBe(130)
  })
})
