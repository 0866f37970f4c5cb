// Goal: a remote URL is taken apart as people and providers write it, and what is none is refused with
// an example. Method: addresses as they occur, through `parseTargetUrl` as in real settings.

import { expect, it } from 'vitest'
import { parseTargetUrl } from '../settings/target-url.ts'
import { remoteAddress } from './remote-address.ts'

const source = { kind: 'option', label: 'the test', baseFolder: '/' } as const
const addressOf = (url: string) =>
  remoteAddress(parseTargetUrl(url, { source, environment: {} }), 'sftp://user@host/folder')

it.each([
  ['sftp://anna@nas.example:2222/a/b', ['anna', 'nas.example', 2222, '/a/b']],
  ['sftp://anna:geheim@nas.example/a', ['anna', 'nas.example', undefined, '/a']],
  ['sftp://anna%40home@[::1]:22/a', ['anna@home', '::1', 22, '/a']],
  ['sftp://nas/a%20b', [undefined, 'nas', undefined, '/a b']],
  ['sftp://anna@nas/~/a', ['anna', 'nas', undefined, '/~/a']],
  ['postgres://kim@/app', ['kim', '', undefined, '/app']],
  ['postgres://kim@%2Frun%2Fpostgresql/app', ['kim', '/run/postgresql', undefined, '/app']],
  [
    'postgresql://kim.abc@pooler.example:6543/postgres?prefix=a',
    ['kim.abc', 'pooler.example', 6543, '/postgres'],
  ],
])('%s', (url, [user, host, port, path]) => {
  expect(addressOf(url)).toEqual({ user, host, port, path })
})

it.each([
  'sftp:/a',
  'sftp:a',
  'sftp://a:b:c/d',
  'sftp://nas:0/a',
  'sftp://nas:70000/a',
  'sftp://nas/%',
  'sftp://nas/a%00b',
])('refuses %s', (url) => {
  expect(() => addressOf(url)).toThrow(expect.objectContaining({ code: 'SETTING_INVALID' }))
})
