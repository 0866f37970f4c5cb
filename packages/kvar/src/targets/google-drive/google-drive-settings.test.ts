// Goal: what a person writes as a Google Drive target is understood or refused with what to write instead,
// and a service account signs in without a library. Method: URLs and keys of all kinds; the emulator's
// authorization server checks the signature.

import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { GoogleDriveEmulator } from '../../../../../tests/emulators/google-drive.ts'
import { systemPlatform } from '../../platform/system.ts'
import { parseTargetUrl } from '../../settings/target-url.ts'
import { readGoogleDriveSettings } from './google-drive-settings.ts'
import { createGoogleDriveTarget } from './google-drive-target.ts'

const source = { kind: 'variable', label: 'the test', baseFolder: '/' } as const
const PERSON = {
  KVAR_GDRIVE_CLIENT_ID: 'client-of-ours',
  KVAR_GDRIVE_CLIENT_SECRET: 'client-secret',
  KVAR_GDRIVE_REFRESH_TOKEN: 'refresh-secret',
}

function read(url: string, environment: Record<string, string> = PERSON) {
  return readGoogleDriveSettings(parseTargetUrl(url, { source, environment }))
}

describe('settings', () => {
  it('understand a folder and a sign-in', () => {
    const settings = read('gdrive:/V%C3%A5r/App')
    expect(settings).toMatchObject({
      folder: ['Vår', 'App'],
      credentials: { kind: 'person' },
      sharedDrive: undefined,
    })
    expect(settings.url).not.toMatch(/secret|client-of-ours/)
  })

  it.each<[string, Record<string, string>, RegExp]>([
    ['gdrive:/', PERSON, /names no folder/],
    ['gdrive:App', PERSON, /behind one slash/],
    ['gdrive:/a//b', PERSON, /not every program/],
    ['gdrive:/a', {}, /no sign-in/],
    ['gdrive:/a', { ...PERSON, KVAR_GDRIVE_CLIENT_SECRET: '' }, /no sign-in/],
    ['gdrive:/a', { ...PERSON, KVAR_GDRIVE_SERVICE_ACCOUNT: '{}' }, /two sign-ins/],
    ['gdrive:/a?drive=0AAbcdef', PERSON, /needs a service account/],
    ['gdrive:/a?drive=a%27b', { KVAR_GDRIVE_SERVICE_ACCOUNT: '{}' }, /not the ID/],
    ['gdrive:/a?endpoint=https://kvar.example', PERSON, /not on this machine/],
  ])('refuse %s', (url, environment, message) => {
    expect(() => read(url, environment)).toThrow(message)
  })
})

describe('a service account', () => {
  let drive: GoogleDriveEmulator
  let key: { client_email: string; private_key: string; private_key_id: string }
  beforeAll(async () => {
    drive = await GoogleDriveEmulator.start()
    const { publicKey, privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    })
    key = { client_email: 'kvar@our-project.example', private_key: privateKey, private_key_id: 'k1' }
    drive.oauth.accounts.set(key.client_email, { publicKey, audience: `${drive.url}/token` })
  })
  afterAll(() => drive.stop())

  const open = (text: string, more = '', platform = systemPlatform) => {
    const url = `gdrive:/App?endpoint=${encodeURIComponent(drive.url)}${more}`
    return createGoogleDriveTarget(read(url, { KVAR_GDRIVE_SERVICE_ACCOUNT: text }), platform)
  }
  const outcome = (text: string, more = '', platform = systemPlatform) =>
    open(text, more, platform)
      .read('a')
      .catch((thrown: unknown) => thrown)

  it('signs in with its key, as JSON or in a file, for its own files or its shared drives', async () => {
    expect(await outcome(JSON.stringify(key))).toBeUndefined()
    expect(drive.oauth.lastScope).toBe('https://www.googleapis.com/auth/drive.file')
    const folder = await mkdtemp(join(tmpdir(), 'kvar-account-'))
    const path = join(folder, 'key.json')
    await writeFile(path, JSON.stringify(key))
    expect(await outcome(path, '&drive=shared-1234')).toBeUndefined()
    expect(drive.oauth.lastScope).toBe('https://www.googleapis.com/auth/drive')
    await rm(folder, { recursive: true })
  })

  it('that Google does not know, or a clock that is wrong, is denied', async () => {
    const unknown = JSON.stringify({ ...key, client_email: 'nobody@our-project.example' })
    expect(await outcome(unknown)).toMatchObject({ failure: 'denied', data: { code: 'invalid_grant' } })
    const clock = { ...systemPlatform.clock, nowMs: () => Date.now() - 7_200_000 }
    const late = await outcome(JSON.stringify(key), '', { ...systemPlatform, clock })
    expect(late).toMatchObject({ failure: 'denied', hint: expect.stringMatching(/clock/) })
  })

  it('whose key is none is refused without a word of it', async () => {
    const elliptic = generateKeyPairSync('ec', {
      namedCurve: 'P-256',
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    }).privateKey
    const hidden = 'MIIsecret'
    const cases = [
      '{"client_email":"a"}',
      JSON.stringify({ ...key, private_key: hidden }),
      JSON.stringify({ ...key, private_key: elliptic }),
      `{"private_key":"${hidden}`,
      '/nowhere/key.json',
      'relative/key.json',
    ]
    for (const text of cases) {
      const thrown = await outcome(text)
      expect(thrown, text).toMatchObject({
        code: 'SETTING_INVALID',
        message: expect.stringMatching(/SERVICE_ACCOUNT/),
      })
      expect(inspect(thrown, { depth: 9 })).not.toContain(hidden)
    }
  })
})
