import type { TargetSetting } from '../../settings/target-url.ts'
import { assertTls } from '../http/plain-http.ts'
import { remoteAddress, targetInvalid } from '../remote-address.ts'

/** Everything a WebDAV target needs to know. */
export interface WebdavSettings {
  /** The target's URL, without secrets. */
  url: string
  kind: string
  /** `https://host[:port]` */
  origin: string
  /** The folder that holds the target: decoded, with a slash at both ends. */
  folder: string
  credentials?: { user: string; password: string }
}

const EXAMPLE = 'webdavs://anna@cloud.example.com/remote.php/dav/files/anna/app'

/**
 * The WebDAV target's own view of a setting that `parseTargetUrl` has checked already.
 *
 * @throws KvarError `SETTING_INVALID` with what is missing
 */
export function readWebdavSettings(setting: TargetSetting): WebdavSettings {
  const { url, scheme: kind } = setting
  const { host, port, path, user: userInUrl } = remoteAddress(setting, EXAMPLE)
  const protocol = kind === 'webdav' ? 'http' : 'https'
  const address = `${protocol}://${host.includes(':') ? `[${host}]` : host}${port === undefined ? '' : `:${port}`}`
  if (host === '' || !URL.canParse(address)) {
    throw targetInvalid(setting, 'it does not name a host', `write for example ${EXAMPLE}`)
  }
  assertTls(setting, new URL(address))
  const user = userInUrl ?? setting.parameters.user
  const { password } = setting.secrets
  if (user !== undefined && !password) {
    throw targetInvalid(
      setting,
      'there is no password for it',
      'put it into the environment variable KVAR_WEBDAV_PASSWORD; best is an app password made for this alone',
    )
  }
  const place = { url, kind, origin: new URL(address).origin, folder: readFolder(setting, path) }
  return user === undefined || !password ? place : { ...place, credentials: { user, password } }
}

function readFolder(setting: TargetSetting, path: string): string {
  const parts = path.replace(/^\/|\/$/g, '').split('/')
  const isPlain = (part: string) => part !== '' && part !== '.' && part !== '..'
  if (path === '' || path === '/') {
    throw targetInvalid(setting, 'it names no folder on the server', `write for example ${EXAMPLE}`)
  }
  if (!parts.every(isPlain) || /[\p{Cc}\p{Cs}\\]/u.test(path)) {
    throw targetInvalid(
      setting,
      'it names a folder that may mean another',
      'use plain names between single slashes',
    )
  }
  return `/${parts.join('/')}/`
}
