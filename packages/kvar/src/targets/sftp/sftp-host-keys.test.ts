// Goal: a server's key is accepted only if somebody accepted that very key. Method: known_hosts files in
// all their forms; sftp-target.test.ts holds the answers against ssh-keygen and a real server.

import { createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { fingerprint, judgeHostKey, keyType, knownHostKeys } from './sftp-host-keys.ts'

const key = (type: string, filling: number) =>
  Buffer.concat([Buffer.from([0, 0, 0, type.length]), Buffer.from(type), Buffer.alloc(32, filling)])
const [first, second, rsa] = [key('ssh-ed25519', 1), key('ssh-ed25519', 2), key('ssh-rsa', 3)]
const line = (names: string, of: Buffer) => `${names} ${keyType(of)} ${of.toString('base64')} a comment`

function hashed(name: string): string {
  const salt = Buffer.alloc(20, 7)
  const hash = createHmac('sha1', salt).update(name).digest('base64')
  return `|1|${salt.toString('base64')}|${hash}`
}

describe('known_hosts', () => {
  it.each([
    ['plain', line('nas.example', first), 22, 1],
    ['in capitals', line('NAS.example', first), 22, 1],
    ['among others', line('10.0.0.7,nas.example,other', first), 22, 1],
    ['another port', line('[nas.example]:2222', first), 2222, 1],
    ['not for another port', line('nas.example', first), 2222, 0],
    ['hashed', line(hashed('nas.example'), first), 22, 1],
    ['hashed with a port', line(hashed('[nas.example]:2222'), first), 2222, 1],
    ['of somebody else', line('other.example', first), 22, 0],
    ['hashed of somebody else', line(hashed('other.example'), first), 22, 0],
    ['a pattern accepts nothing', line('*.example', first), 22, 0],
    ['an authority accepts nothing', line('@cert-authority nas.example', first), 22, 0],
    ['a comment', `# ${line('nas.example', first)}`, 22, 0],
    ['rubbish', 'nas.example\n\n  \n|1|x nas.example', 22, 0],
  ])('%s', (_name, text, port, count) => {
    expect(knownHostKeys(text, 'nas.example', port)).toHaveLength(count)
  })
})

describe('the judgement', () => {
  const known = knownHostKeys(line('nas.example', first), 'nas.example', 22)
  const revoked = knownHostKeys(line('@revoked nas.example', first), 'nas.example', 22)

  it.each([
    ['known', first, [], known, 'accepted'],
    ['never seen', first, [], [], 'unknown'],
    ['another one of the known type', second, [], known, 'changed'],
    ['one of another type', rsa, [], known, 'unknown'],
    ['the fingerprint in the settings', second, [fingerprint(second)], known, 'accepted'],
    ['not the fingerprint in the settings, though known', first, [fingerprint(second)], known, 'changed'],
    ['revoked', first, [], [...known, ...revoked], 'revoked'],
    ['revoked, though in the settings', first, [fingerprint(first)], revoked, 'revoked'],
    ['another than the revoked one', second, [], revoked, 'unknown'],
    ['an empty key', Buffer.alloc(0), [], known, 'unknown'],
  ] as const)('%s', (_name, shown, accepted, hosts, judgement) => {
    expect(judgeHostKey(shown, accepted, hosts)).toBe(judgement)
  })
})
