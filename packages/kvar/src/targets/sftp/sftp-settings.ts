import type { TargetSetting } from '../../settings/target-url.ts'
import { remoteAddress, targetInvalid } from '../remote-address.ts'

const EXAMPLE = 'sftp://user@host:22/folder'

/** What an SFTP target needs to know. */
export interface SftpSettings {
  /** Names the target; holds no secrets. */
  url: string
  host: string
  port: number
  user: string
  /** The folder of the target: absolute, or below the user's home where `isBelowHome`. */
  path: string
  isBelowHome: boolean
  password: string | undefined
  /** A private key's text, or the absolute path of its file (`~/` for the home of our own user). */
  privateKey: string | undefined
  passphrase: string | undefined
  /** Fingerprints of host keys that are accepted, `SHA256:…` each. */
  hostKeys: string[]
}

/**
 * Reads an `sftp:` setting. `/folder` is absolute, `/~/folder` lies in the user's home on the server.
 *
 * @throws KvarError `SETTING_INVALID` for what no connection could be made with
 */
export function readSftpSettings(setting: TargetSetting): SftpSettings {
  const { user, host, port, path } = remoteAddress(setting, EXAMPLE)
  const { password, passphrase } = setting.secrets
  if (host === '') throw targetInvalid(setting, 'it names no host', `write for example ${EXAMPLE}`)
  if (user === undefined) throw targetInvalid(setting, 'it names no user', `write for example ${EXAMPLE}`)
  const isBelowHome = path === '/~' || path.startsWith('/~/')
  return {
    url: setting.url,
    host,
    port: port ?? 22,
    user,
    path: readPath(setting, isBelowHome ? path.slice(3) : path),
    isBelowHome,
    password,
    privateKey: readPrivateKey(setting),
    passphrase,
    hostKeys: readHostKeys(setting),
  }
}

/** A folder of its own: the root of a server or of a home holds other things too. */
function readPath(setting: TargetSetting, path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.length === 0) throw targetInvalid(setting, 'it names no folder', `write for example ${EXAMPLE}`)
  if (parts.includes('..'))
    throw targetInvalid(setting, 'its folder leads upwards ("..")', 'write the folder as it is')
  return `${path.startsWith('/') ? '/' : ''}${parts.join('/')}`
}

/** Hosts that keep variables on one line write the line ends of a key as `\n`. */
function readPrivateKey(setting: TargetSetting): string | undefined {
  const key = setting.secrets.privateKey ?? setting.parameters.identity
  if (key === undefined) return undefined
  if (key.includes('-----BEGIN')) return `${key.replaceAll('\\n', '\n').trim()}\n`
  if (key.startsWith('/') || key.startsWith('~/')) return key
  const hint = 'KVAR_SFTP_KEY takes the key itself or the absolute path of its file, identity the path'
  throw targetInvalid(setting, 'its private key is neither a key nor an absolute path', hint)
}

function readHostKeys(setting: TargetSetting): string[] {
  // A "+" in a URL's query means a space; no fingerprint has one.
  const given = (setting.parameters.hostkey ?? '').replaceAll(' ', '+')
  const keys = given.split(',').filter((key) => key !== '')
  const wrong = keys.find((key) => !/^SHA256:[A-Za-z0-9+/]{43}=?$/.test(key))
  if (wrong === undefined) return keys.map((key) => key.replace(/=$/, ''))
  const hint = 'write what ssh-keygen -l shows: SHA256: and 43 letters and digits'
  throw targetInvalid(setting, `the host key ${JSON.stringify(wrong.slice(0, 60))} is no fingerprint`, hint)
}
