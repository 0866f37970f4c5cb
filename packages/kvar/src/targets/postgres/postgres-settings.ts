import type { TargetSetting } from '../../settings/target-url.ts'
import { remoteAddress, targetInvalid } from '../remote-address.ts'

const EXAMPLE = 'postgres://user@host:5432/database'

/** What a PostgreSQL target needs to know. */
export interface PostgresSettings {
  /** Names the target; holds no secrets. */
  url: string
  /** A name, an address, or the absolute folder of a local socket. */
  host: string
  port: number
  user: string
  database: string
  password: string | undefined
  /** The schema of the two tables. */
  schema: string
  /** Tells the logs of several databases in one schema apart; empty for the first. */
  prefix: string
  tls: PostgresTls
}

/** `full` checks the certificate and the name in it, `chain` the certificate alone. */
export type PostgresTls = { check: 'none' } | { check: 'full' | 'chain'; authority: string | undefined }

/**
 * Reads a `postgres:` setting.
 *
 * @throws KvarError `SETTING_INVALID` for what no connection could be made with
 * @example
 * readPostgresSettings(setting).tls // { check: 'full', authority: undefined } unless the host is this machine
 */
export function readPostgresSettings(setting: TargetSetting): PostgresSettings {
  const address = remoteAddress(setting, EXAMPLE)
  const { parameters, secrets } = setting
  const host = address.host || parameters.host || 'localhost'
  const { user } = address
  if (user === undefined) throw targetInvalid(setting, 'it names no user', `write for example ${EXAMPLE}`)
  return {
    url: setting.url,
    host,
    port: address.port ?? 5432,
    user,
    database: address.path.slice(1) || user,
    password: secrets.password,
    schema: readSchema(setting),
    prefix: readPrefix(setting),
    tls: readTls(setting, host),
  }
}

function readSchema(setting: TargetSetting): string {
  const schema = setting.parameters.schema ?? 'kvar'
  if (/^[a-z_][a-z0-9_]{0,62}$/.test(schema) && !schema.startsWith('pg_')) return schema
  const hint = 'use up to 63 small letters, digits and "_", not beginning with "pg_"'
  throw targetInvalid(setting, `"schema" is ${JSON.stringify(schema.slice(0, 80))}`, hint)
}

function readPrefix(setting: TargetSetting): string {
  const prefix = setting.parameters.prefix ?? ''
  if (/^[A-Za-z0-9._/-]{0,200}$/.test(prefix)) return prefix
  const hint = 'use up to 200 letters, digits, ".", "_", "-" and "/"'
  throw targetInvalid(setting, `"prefix" is ${JSON.stringify(prefix.slice(0, 80))}`, hint)
}

/**
 * Modes as in libpq (PostgreSQL manual, "SSL Support"), without the ones that may go on unprotected or
 * unchecked: `require` is understood as `verify-full`, which is what people mean by it.
 */
function readTls(setting: TargetSetting, host: string): PostgresTls {
  const mode = setting.parameters.sslmode ?? (isThisMachine(host) ? 'disable' : 'verify-full')
  const authority = readAuthority(setting)
  switch (mode) {
    case 'disable':
      return { check: 'none' }
    case 'verify-ca':
      return { check: 'chain', authority }
    case 'require':
    case 'verify-full':
      return { check: 'full', authority }
    default:
      throw targetInvalid(
        setting,
        `sslmode=${JSON.stringify(mode.slice(0, 40))} would not protect the connection`,
        'use verify-full (the default) or verify-ca, if need be with sslrootcert; sslmode=disable only within a private network',
      )
  }
}

/** The absolute path of a file, or from the environment also the certificate's text itself. */
function readAuthority(setting: TargetSetting): string | undefined {
  const authority = setting.parameters.sslrootcert ?? setting.secrets.rootCertificate
  if (authority === undefined || authority === 'system') return undefined
  if (authority.startsWith('/') || authority.includes('-----BEGIN')) return authority
  throw targetInvalid(
    setting,
    'sslrootcert (or KVAR_POSTGRES_CA) is no absolute path',
    'the keeper is a process of its own: write the whole path, or put the certificate itself into KVAR_POSTGRES_CA',
  )
}

export function isThisMachine(host: string): boolean {
  return host.startsWith('/') || host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}
