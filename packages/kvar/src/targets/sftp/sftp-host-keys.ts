import { createHash, createHmac } from 'node:crypto'

/** What is known about the key of a server. */
export type HostKeyJudgement = 'accepted' | 'unknown' | 'changed' | 'revoked'

/** A line of known_hosts that is about our server. */
export interface KnownHostKey {
  /** `ssh-ed25519`, `ssh-rsa`, … */
  type: string
  key: Buffer
  isRevoked: boolean
}

/** The fingerprint as `ssh-keygen -l` and providers show it. */
export function fingerprint(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`
}

/** The type of a public key, which is its first field (RFC 4253, section 6.6). */
export function keyType(key: Buffer): string {
  const length = key.length >= 4 ? key.readUInt32BE(0) : 0
  return key.subarray(4, 4 + Math.min(length, 64)).toString('latin1')
}

/**
 * Judges the key that a server showed. A fingerprint in the settings decides alone; else known_hosts
 * does, as OpenSSH reads it.
 */
export function judgeHostKey(
  key: Buffer,
  accepted: readonly string[],
  known: readonly KnownHostKey[],
): HostKeyJudgement {
  const same = known.filter((one) => one.key.equals(key))
  if (same.some((one) => one.isRevoked)) return 'revoked'
  if (accepted.length > 0) return accepted.includes(fingerprint(key)) ? 'accepted' : 'changed'
  if (same.length > 0) return 'accepted'
  return known.some((one) => !one.isRevoked && one.type === keyType(key)) ? 'changed' : 'unknown'
}

/**
 * The keys that a known_hosts file (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT") has for a server: plain and
 * hashed names. Patterns and certificate authorities are left out, so that they never accept a key.
 */
export function knownHostKeys(text: string, host: string, port: number): KnownHostKey[] {
  const name = (port === 22 ? host : `[${host}]:${port}`).toLowerCase()
  return text.split('\n').flatMap((line) => {
    const fields = line.trim().split(/\s+/)
    const marker = fields[0]?.startsWith('@') ? fields.shift() : undefined
    const [names, type, encoded] = fields
    if (names === undefined || type === undefined || encoded === undefined || names.startsWith('#')) return []
    if (marker !== undefined && marker !== '@revoked') return []
    if (!names.split(',').some((one) => isName(one, name))) return []
    return [{ type, key: Buffer.from(encoded, 'base64'), isRevoked: marker === '@revoked' }]
  })
}

/** A hashed name is `|1|salt|HMAC-SHA1 of the name`. */
function isName(written: string, name: string): boolean {
  const [, kind, salt, hash] = written.split('|')
  if (kind !== '1' || salt === undefined || hash === undefined) return written.toLowerCase() === name
  return createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest('base64') === hash
}

/** The names under which a key of this type is agreed on (RFC 8332 for the two of RSA). */
export function algorithmsOf(type: string): string[] {
  return type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [type]
}
