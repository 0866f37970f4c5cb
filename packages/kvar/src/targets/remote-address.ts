import { KvarError } from '../errors.ts'
import type { TargetSetting } from '../settings/target-url.ts'

/** Where a remote target is, taken apart and decoded. */
export interface RemoteAddress {
  user: string | undefined
  /** Without the brackets of an IPv6 address; empty when the URL names none. */
  host: string
  port: number | undefined
  /** With its leading slash; empty when the URL ends with the host. */
  path: string
}

const ADDRESS =
  /^[a-z][a-z0-9+.-]*:\/\/(?:([^@/?]*)@)?(\[[0-9A-Fa-f:.%]+\]|[^:/?[\]]*)(?::(\d{1,5}))?(\/[^?]*)?(?:\?|$)/

/**
 * The parts of `scheme://user@host:port/path`. Not by `new URL`, which refuses a user without a host
 * (a local socket) and treats schemes differently that are all the same to us.
 *
 * @throws KvarError `SETTING_INVALID` when the URL has another form
 */
export function remoteAddress(setting: TargetSetting, example: string): RemoteAddress {
  const match = ADDRESS.exec(setting.url)
  const port = match?.[3] === undefined ? undefined : Number(match[3])
  if (match === null || (port !== undefined && (port < 1 || port > 65_535))) {
    throw targetInvalid(setting, 'it does not name a host and a path', `write for example ${example}`)
  }
  const [, user, host, , path] = match
  return {
    user: user ? decoded(user, setting) : undefined,
    host: decoded((host as string).replace(/^\[(.*)\]$/, '$1'), setting),
    port,
    path: decoded(path ?? '', setting),
  }
}

/** A setting of a target that only the target itself can judge. The URL holds no secrets. */
export function targetInvalid(setting: TargetSetting, sentence: string, hint: string): KvarError {
  return new KvarError('SETTING_INVALID', `Cannot use the target ${setting.url}: ${sentence}`, {
    hint,
    data: { url: setting.url },
  })
}

function decoded(text: string, setting: TargetSetting): string {
  try {
    const plain = decodeURIComponent(text)
    if (!plain.includes('\0')) return plain
  } catch {
    // Falls through to the one sentence for both.
  }
  throw targetInvalid(
    setting,
    'it holds a "%" that begins no percent-encoding',
    'write "%25" for a per cent sign',
  )
}
