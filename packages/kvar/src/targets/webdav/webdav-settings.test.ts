// Goal: from URL and environment to one folder of one server, and no way to mean another; a password
// never goes over a line without TLS unasked. Method: URLs as people write them, through the same
// parser that the settings use.

import { describe, expect, it } from 'vitest'
import { parseTargetUrl } from '../../settings/target-url.ts'
import { readWebdavSettings } from './webdav-settings.ts'

const source = { kind: 'variable', label: 'the test', baseFolder: '/' } as const
const PASSWORD = { KVAR_WEBDAV_PASSWORD: 'pass' }

function read(url: string, environment: Record<string, string> = PASSWORD) {
  return readWebdavSettings(parseTargetUrl(url, { source, environment }))
}

describe('a place', () => {
  it.each([
    [
      'webdavs://anna@cloud.example/remote.php/dav/files/anna/app',
      'https://cloud.example',
      '/remote.php/dav/files/anna/app/',
    ],
    ['webdavs://anna@cloud.example:8443/a%20b/å/', 'https://cloud.example:8443', '/a b/å/'],
    ['webdav://anna@localhost:8080/dav', 'http://localhost:8080', '/dav/'],
    ['webdav://anna@[::1]:8080/dav', 'http://[::1]:8080', '/dav/'],
    ['webdav://anna@nas/dav?tls=off', 'http://nas', '/dav/'],
  ])('%s', (url, origin, folder) => {
    expect(read(url)).toMatchObject({ origin, folder, credentials: { user: 'anna', password: 'pass' } })
  })
})

describe('who', () => {
  it('stands in the URL or in the environment, with the password beside or there', () => {
    expect(read('webdavs://h/a', { ...PASSWORD, KVAR_WEBDAV_USER: 'nils' }).credentials?.user).toBe('nils')
    const inUrl = parseTargetUrl('webdavs://anna%40example.com:p%3Aw@h/a', { source, environment: {} })
    expect(inUrl.url).toBe('webdavs://anna%40example.com@h/a')
    expect(readWebdavSettings(inUrl).credentials).toEqual({ user: 'anna@example.com', password: 'p:w' })
    expect(read('webdavs://h/a', {}).credentials).toBeUndefined()
  })

  it('needs a password, and the error names the variable', () => {
    expect(() => read('webdavs://anna@h/a', {})).toThrow(
      expect.objectContaining({ hint: expect.stringMatching(/KVAR_WEBDAV_PASSWORD/) }),
    )
  })
})

describe('refused', () => {
  it.each([
    'webdavs:/a',
    'webdavs://anna@h',
    'webdavs://anna@h/',
    'webdavs://anna@h/a/../b',
    'webdavs://anna@h/%2e%2e/b',
    'webdavs://anna@h/a//b',
    'webdavs://anna@h/a%00',
    'webdav://anna@cloud.example/dav',
    'webdav://anna@cloud.example/dav?tls=maybe',
    'webdavs://anna@h:99999/a',
  ])('%s', (url) => {
    expect(() => read(url)).toThrow(expect.objectContaining({ code: 'SETTING_INVALID' }))
  })
})
