// Goal: what a person writes as a Dropbox target is understood or refused with what to write instead, and
// keys become paths and come back. Method: URLs of both kinds; random keys.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { parseTargetUrl } from '../../settings/target-url.ts'
import { isKey } from '../target.ts'
import { keyOfPath, pathOfFolder, pathOfKey } from './dropbox-names.ts'
import { readDropboxSettings } from './dropbox-settings.ts'

const source = { kind: 'variable', label: 'the test', baseFolder: '/' } as const
const SIGNED_IN = { KVAR_DROPBOX_APP_KEY: 'key-of-ours', KVAR_DROPBOX_REFRESH_TOKEN: 'refresh-secret' }

function read(url: string, environment: Record<string, string> = SIGNED_IN) {
  return readDropboxSettings(parseTargetUrl(url, { source, environment }))
}

it.each<[string, string[]]>([
  ['dropbox:/', []],
  ['dropbox:/Familjekalender', ['Familjekalender']],
  ['dropbox:/V%C3%A5r%20kalender/App', ['Vår kalender', 'App']],
])('%s', (url, folder) => {
  const settings = read(url)
  expect(settings).toMatchObject({ url, folder, addresses: { api: 'https://api.dropboxapi.com/2' } })
  expect(settings.url).not.toMatch(/secret|key-of-ours/)
})

it.each([
  'dropbox:Folder',
  'dropbox://Folder/App',
  'dropbox:/Folder/',
  'dropbox:/a//b',
  'dropbox:/../b',
  'dropbox:/a%2Fb',
  'dropbox:/a%00b',
  'dropbox:/a%b',
  'dropbox:/a:b',
  'dropbox:/.hidden',
  'dropbox:/a?endpoint=https://kvar.example',
  'dropbox:/a?endpoint=http://127.0.0.1:1/path',
])('refuses %s', (url) => {
  expect(() => read(url)).toThrow(expect.objectContaining({ code: 'SETTING_INVALID' }))
})

it('says which sign-in is missing', () => {
  expect(() => read('dropbox:/a', {})).toThrow(/no app key/)
  expect(() => read('dropbox:/a', { KVAR_DROPBOX_APP_KEY: 'k' })).toThrow(/no refresh token/)
})

it('takes no secret on a command line', () => {
  const argument = { kind: 'argument', label: '--target', baseFolder: '/' } as const
  const url = 'dropbox:/a?refreshToken=refresh-secret'
  const hint = expect.stringMatching(/KVAR_DROPBOX_REFRESH_TOKEN/)
  expect(() => parseTargetUrl(url, { source: argument, environment: {} })).toThrow(
    expect.objectContaining({ code: 'SECRET_EXPOSED', hint }),
  )
})

const part = fc.stringMatching(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,6}$/)
const key = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'))

it('gives every key a path of its own without capitals, and knows it again', () => {
  fc.assert(
    fc.property(key, key, (one, other) => {
      const path = pathOfKey(one)
      expect(isKey(one) && path === path.toLowerCase()).toBe(true)
      expect(keyOfPath(path)).toBe(one)
      if (one !== other) expect(pathOfKey(other)).not.toBe(path)
      // No object is ever in the way of a folder.
      const folders = other.split('/').map((_, depth, parts) => pathOfFolder(parts.slice(0, depth + 1)))
      expect(folders).not.toContain(path)
    }),
  )
})
