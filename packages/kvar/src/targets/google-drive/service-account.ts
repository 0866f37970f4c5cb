import { createPrivateKey, type KeyObject, sign } from 'node:crypto'
import { isAbsolute } from 'node:path'
import { KvarError } from '../../errors.ts'
import type { Files } from '../../platform/files.ts'
import { asText, parseObject } from '../http/json.ts'

export interface ServiceAccount {
  email: string
  keyId: string | undefined
  privateKey: KeyObject
}

/** Google takes assertions for no longer than this (Identity, "Using OAuth 2.0 for Server to Server Applications"). */
const LIFETIME_SECONDS = 3600

/**
 * Reads a service account's key: JSON as Google gives it, or the absolute path of a file with it.
 *
 * @throws KvarError `SETTING_INVALID`; nothing of the key gets into an error
 */
export async function readServiceAccount(
  key: string,
  files: Pick<Files, 'readFile'>,
): Promise<ServiceAccount> {
  const text = key.trimStart().startsWith('{') ? key : await readKeyFile(key.trim(), files)
  const found = parseObject(text)
  const email = asText(found?.client_email)
  const privateKey = rsaKey(asText(found?.private_key))
  if (!email || privateKey === undefined) {
    throw invalid(
      'it is no key of a service account',
      'use the JSON file that Google gives when a key is made',
    )
  }
  return { email, keyId: asText(found?.private_key_id), privateKey }
}

async function readKeyFile(path: string, files: Pick<Files, 'readFile'>): Promise<string> {
  if (!isAbsolute(path)) {
    throw invalid(
      'it is neither JSON nor the absolute path of a file',
      'write the whole JSON, or a path from /',
    )
  }
  const bytes = await files.readFile(path).catch(() => undefined)
  if (bytes === undefined) throw invalid('the file it names cannot be read', 'check the path and its rights')
  return Buffer.from(bytes).toString('utf8')
}

function rsaKey(pem: string | undefined): KeyObject | undefined {
  try {
    const key = createPrivateKey(pem ?? '')
    return key.asymmetricKeyType === 'rsa' ? key : undefined
  } catch {
    // The error may quote the key.
    return undefined
  }
}

/**
 * A signed statement that stands for a sign-in (RFC 7523, RFC 7515). Twenty lines on node:crypto instead
 * of google-auth-library, which brings a second HTTP layer for the same (docs/decisions/042).
 */
export function signAssertion(
  account: ServiceAccount,
  claims: { scope: string; audience: string; nowMs: number },
): string {
  const issuedAt = Math.floor(claims.nowMs / 1000)
  const header = { alg: 'RS256', typ: 'JWT', ...(account.keyId === undefined ? {} : { kid: account.keyId }) }
  const payload = {
    iss: account.email,
    scope: claims.scope,
    aud: claims.audience,
    iat: issuedAt,
    exp: issuedAt + LIFETIME_SECONDS,
  }
  const content = [header, payload].map((part) => base64Url(JSON.stringify(part))).join('.')
  const signature = sign('RSA-SHA256', Buffer.from(content), account.privateKey)
  return `${content}.${signature.toString('base64url')}`
}

function base64Url(text: string): string {
  return Buffer.from(text).toString('base64url')
}

function invalid(sentence: string, hint: string): KvarError {
  return new KvarError('SETTING_INVALID', `Cannot use KVAR_GDRIVE_SERVICE_ACCOUNT: ${sentence}`, { hint })
}
