// Goal: an SFTP URL becomes a connection to a folder of its own, and what could not work is refused with
// what would. Method: through `parseTargetUrl`, as in real settings.

import { expect, it } from 'vitest'
import { parseTargetUrl } from '../../settings/target-url.ts'
import { readSftpSettings } from './sftp-settings.ts'

const source = { kind: 'option', label: 'the test', baseFolder: '/' } as const
const read = (url: string, environment: Record<string, string> = {}) =>
  readSftpSettings(parseTargetUrl(url, { source, environment }))
const fingerprint = `SHA256:${'ab+/'.repeat(10)}cde`
const key = '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n'

it('reads a URL with its defaults', () => {
  expect(read('sftp://anna:geheim@nas.example/srv/backup/')).toEqual({
    url: 'sftp://anna@nas.example/srv/backup',
    host: 'nas.example',
    port: 22,
    user: 'anna',
    path: '/srv/backup',
    isBelowHome: false,
    password: 'geheim',
    privateKey: undefined,
    passphrase: undefined,
    hostKeys: [],
  })
})

it('knows folders of the home', () => {
  expect(read('sftp://anna@nas/~/backup/app')).toMatchObject({ path: 'backup/app', isBelowHome: true })
})

it('takes keys as text or by path, on one line too', () => {
  const url = 'sftp://anna@nas/backup'
  expect(read(url, { KVAR_SFTP_KEY: key }).privateKey).toBe(key)
  expect(read(url, { KVAR_SFTP_KEY: key.trim().replaceAll('\n', '\\n') }).privateKey).toBe(key)
  expect(read(url, { KVAR_SFTP_KEY: '/run/secrets/key' }).privateKey).toBe('/run/secrets/key')
  expect(read(`${url}?identity=~/.ssh/id_ed25519`).privateKey).toBe('~/.ssh/id_ed25519')
})

it('takes host keys from the URL, where "+" means a space, and from the environment', () => {
  const url = 'sftp://anna@nas/backup'
  expect(read(`${url}?hostkey=${fingerprint}`).hostKeys).toEqual([fingerprint])
  expect(read(`${url}?hostkey=${encodeURIComponent(fingerprint)}`).hostKeys).toEqual([fingerprint])
  expect(read(`${url}?hostkey=${fingerprint},${fingerprint}%3D`).hostKeys).toEqual([fingerprint, fingerprint])
  const fromVariable = read(url, { KVAR_SFTP_HOST_KEY: fingerprint })
  expect(fromVariable.hostKeys).toEqual([fingerprint])
})

it.each([
  ['sftp://nas/backup', /no user/],
  ['sftp://anna@/backup', /no host/],
  ['sftp://anna@nas', /no folder/],
  ['sftp://anna@nas/', /no folder/],
  ['sftp://anna@nas/~', /no folder/],
  ['sftp://anna@nas/a/../../b', /upwards/],
  ['sftp://anna@nas/a/%2e%2e/b', /upwards/],
  ['sftp://anna@nas/a?hostkey=MD5:00', /no fingerprint/],
  ['sftp://anna@nas/a?identity=key', /neither a key nor an absolute path/],
])('refuses %s', (url, message) => {
  expect(() => read(url)).toThrow(
    expect.objectContaining({ code: 'SETTING_INVALID', message: expect.stringMatching(message) }),
  )
})

it('never shows a key', () => {
  const thrown = (() => {
    try {
      return read('sftp://anna@nas/a', { KVAR_SFTP_KEY: 'geheim' })
    } catch (error) {
      return error
    }
  })()
  expect(JSON.stringify(thrown)).not.toContain('geheim')
})
