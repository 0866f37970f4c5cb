// Goal: every failure that a PostgreSQL server, its pooler or the network reports is classified as the
// caller needs it. Method: the codes of the manual's Appendix A, Node's codes and the library's
// sentences; postgres-target.test.ts provokes the important ones on a real server.

import { expect, it } from 'vitest'
import { KvarError } from '../../errors.ts'
import { classifyPostgresError } from './postgres-errors.ts'

const failureOf = (properties: object, message = 'said') =>
  classifyPostgresError(Object.assign(new Error(message), properties), 'store "a"', 'postgres://h/d')

it.each([
  ['08006', 'temporary'],
  ['08P01', 'temporary'],
  ['0A000', 'permanent'],
  ['22021', 'permanent'],
  ['23503', 'permanent'],
  ['23505', 'temporary'],
  ['25006', 'full'],
  ['25P03', 'temporary'],
  ['28000', 'denied'],
  ['28P01', 'denied'],
  ['3D000', 'permanent'],
  ['40001', 'temporary'],
  ['40P01', 'temporary'],
  ['42501', 'denied'],
  ['42703', 'permanent'],
  ['53100', 'full'],
  ['53200', 'temporary'],
  ['53300', 'temporary'],
  ['54000', 'permanent'],
  ['55P03', 'temporary'],
  ['57014', 'temporary'],
  ['57P01', 'temporary'],
  ['57P03', 'temporary'],
  ['57P04', 'permanent'],
  ['58030', 'temporary'],
  ['XX000', 'temporary'],
  ['XX001', 'permanent'],
  ['ZZ999', 'temporary'],
  ['ECONNREFUSED', 'temporary'],
  ['ECONNRESET', 'temporary'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'denied'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'denied'],
])('%s is %s', (code, failure) => {
  expect(failureOf({ code })).toMatchObject({
    failure,
    message: expect.stringMatching(/^Cannot store "a" on postgres:\/\/h\/d: /),
    hint: expect.any(String),
    data: { url: 'postgres://h/d', systemCode: code },
  })
})

it('takes a fatal internal error at sign-in for a pooler that knows no such project', () => {
  expect(failureOf({ code: 'XX000', severity: 'FATAL' })).toMatchObject({ failure: 'denied' })
})

it.each([
  ['The server does not support SSL connections', 'denied'],
  ['SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a non-empty string', 'denied'],
  ['Connection terminated unexpectedly', 'temporary'],
  ['timeout exceeded when trying to connect', 'temporary'],
])('"%s" is %s', (message, failure) => {
  expect(failureOf({}, message)).toMatchObject({ failure })
})

it('lets our own errors and what is no error through', () => {
  const own = new KvarError('CANCELLED', 'Stopped')
  expect(classifyPostgresError(own, 'x', 'y')).toBe(own)
  expect(classifyPostgresError('text', 'x', 'y')).toBe('text')
})
