// Goal: a URL as a provider prints it becomes a connection that is never silently without TLS, and what
// could not work is refused with what would. Method: through `parseTargetUrl`, as in real settings.

import { describe, expect, it } from 'vitest'
import { parseTargetUrl } from '../../settings/target-url.ts'
import { readPostgresSettings } from './postgres-settings.ts'

const source = { kind: 'option', label: 'the test', baseFolder: '/' } as const
const read = (url: string, environment: Record<string, string> = {}) =>
  readPostgresSettings(parseTargetUrl(url, { source, environment }))
const certificate = '-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----'

it('reads what a provider prints', () => {
  const url = 'postgresql://postgres.abcdef:geheim@aws-0-eu.pooler.example.com:6543/postgres?sslmode=require'
  expect(read(url)).toEqual({
    url: 'postgresql://postgres.abcdef@aws-0-eu.pooler.example.com:6543/postgres?sslmode=require',
    host: 'aws-0-eu.pooler.example.com',
    port: 6543,
    user: 'postgres.abcdef',
    database: 'postgres',
    password: 'geheim',
    schema: 'kvar',
    prefix: '',
    tls: { check: 'full', authority: undefined },
  })
})

it('fills in what is left out, and takes the password from the environment', () => {
  const both = { KVAR_POSTGRES_PASSWORD: 'ours', PGPASSWORD: 'general' }
  expect(read('postgres://kim@db.example', both)).toMatchObject({
    port: 5432,
    database: 'kim',
    password: 'ours',
  })
  expect(read('postgres://kim@db.example', { PGPASSWORD: 'general' }).password).toBe('general')
  expect(read('postgres://kim@db.example/app?schema=backup&prefix=a/b')).toMatchObject({
    schema: 'backup',
    prefix: 'a/b',
  })
})

describe('TLS', () => {
  it.each([
    ['postgres://kim@db.example/a', { check: 'full', authority: undefined }],
    ['postgres://kim@10.0.0.7/a', { check: 'full', authority: undefined }],
    ['postgres://kim@127.0.0.1.example.com/a', { check: 'full', authority: undefined }],
    ['postgres://kim@db.example/a?sslmode=verify-ca', { check: 'chain', authority: undefined }],
    ['postgres://kim@db.example/a?sslrootcert=/etc/ca.crt', { check: 'full', authority: '/etc/ca.crt' }],
    ['postgres://kim@db.example/a?sslrootcert=system', { check: 'full', authority: undefined }],
    ['postgres://kim@db.example/a?sslmode=disable', { check: 'none' }],
    ['postgres://kim@localhost/a', { check: 'none' }],
    ['postgres://kim@127.0.0.1/a', { check: 'none' }],
    ['postgres://kim@[::1]/a', { check: 'none' }],
    ['postgres://kim@/a?host=/run/postgresql', { check: 'none' }],
    ['postgres://kim@localhost/a?sslmode=verify-full', { check: 'full', authority: undefined }],
  ])('%s', (url, tls) => {
    expect(read(url).tls).toEqual(tls)
  })

  it('takes a certificate from the environment, on one line too', () => {
    const environment = { KVAR_POSTGRES_CA: certificate }
    expect(read('postgres://kim@db.example/a', environment).tls).toEqual({
      check: 'full',
      authority: certificate,
    })
  })

  it.each(['prefer', 'allow', 'no-verify', ''])('refuses sslmode=%s', (mode) => {
    expect(() => read(`postgres://kim@db.example/a?sslmode=${mode}`)).toThrow(
      expect.objectContaining({ code: 'SETTING_INVALID', hint: expect.stringContaining('verify-full') }),
    )
  })
})

it.each([
  ['postgres://db.example/a', /names no user/],
  ['postgres:a', /host and a path/],
  ['postgres://kim@h/a?schema=Kvar', /"schema"/],
  ['postgres://kim@h/a?schema=pg_kvar', /"schema"/],
  ['postgres://kim@h/a?schema=a";drop schema b;--', /"schema"/],
  ["postgres://kim@h/a?prefix='", /"prefix"/],
  ['postgres://kim@h/a?sslrootcert=./ca.crt', /no absolute path/],
])('refuses %s', (url, message) => {
  expect(() => read(url)).toThrow(
    expect.objectContaining({ code: 'SETTING_INVALID', message: expect.stringMatching(message) }),
  )
})
